"""Messages as lines: one each, with all fields below it when asked, or one JSON object each."""

import json
import zlib
from collections.abc import Callable

from outboard.tap.seen import Kind, Seen

Write = Callable[[str], object]
Later = Callable[[Callable[[], object]], object]
UNTOLD_MAX = 64
"""Messages that wait to be told, at most: one may keep a megabyte."""


class Report:
    """Tells messages to `write`, a line at a time, and what is no message to `say`.

    verbose: all fields, and a checksum of long messages' data. as_json: objects in place of lines; quiet: neither.
    later: makes a call when messages have been passed on; putting them in words can wait, a guest cannot. `flush` tells
    what waits still. messages, unknown: how many were seen.
    """

    def __init__(
        self, write: Write, say: Write, later: Later | None = None, *, verbose: bool, as_json: bool, quiet: bool
    ) -> None:
        self.messages = 0
        self.unknown = 0
        self.quiet = quiet
        self.wants_data = verbose and not quiet
        self._write = write
        self._say = say
        self._later = later
        self._untold: list[tuple[Seen, int | None]] = []
        self._verbose = verbose
        self._render = self._object if as_json else self._lines
        self._began_ns: int | None = None
        self._sums: dict[tuple[str, bool], int] = {}

    def opened(self, socket: str, kind: Kind) -> None:
        """Nothing: its messages name it."""

    def head(self, seen: Seen) -> None:
        """Tell a message, unless its checksum is to come."""
        self.messages += 1
        self.unknown += seen.request not in seen.kind.channel.requests
        if self._began_ns is None:
            self._began_ns = seen.when_ns
        if self.wants_data and len(seen.payload) < seen.size:
            self._sums[seen.socket, seen.to_backend] = 0
        else:
            self._tell(seen, None)

    def data(self, seen: Seen, chunk: memoryview) -> None:
        """Go on with a checksum."""
        key = seen.socket, seen.to_backend
        if key in self._sums:
            self._sums[key] = zlib.crc32(chunk, self._sums[key])

    def done(self, seen: Seen) -> None:
        """Tell a message whose checksum had to come."""
        checksum = self._sums.pop((seen.socket, seen.to_backend), None)
        if checksum is not None:
            self._tell(seen, checksum)

    def note(self, words: str) -> None:
        """Say what is no message."""
        self.flush()
        self._say(words)

    def flush(self) -> None:
        """Tell the messages that wait for it."""
        untold, self._untold = self._untold, []
        if untold:
            self._write("\n".join(self._render(*one) for one in untold))

    def _tell(self, seen: Seen, checksum: int | None) -> None:
        if self.quiet:
            return
        self._untold.append((seen, checksum))
        if self._later is None or len(self._untold) >= UNTOLD_MAX:
            self.flush()
        elif len(self._untold) == 1:
            self._later(self.flush)

    def _seconds(self, seen: Seen) -> float:
        return (seen.when_ns - (self._began_ns or 0)) / 1e9

    def _lines(self, seen: Seen, checksum: int | None) -> str:
        name, summary, fields, _ = seen.decoded()
        arrow = "->" if seen.to_backend else "<-"
        name = name.removeprefix("GPU ").removeprefix("BACKEND ")
        first = f"{self._seconds(seen):12.6f} {seen.socket:<10} {arrow} {name} {summary}".rstrip()
        if not self._verbose:
            return first
        about = [f"flags {seen.flags:#x}, {seen.size} bytes", *(f"{name} {text}" for name, text in fields)]
        about += [f"fds {', '.join(seen.fds)}"] if seen.fds else []
        about += [] if checksum is None else [f"crc32 {checksum:08x}"]
        return "\n".join([first, *(" " * 16 + words for words in about)])

    def _object(self, seen: Seen, checksum: int | None) -> str:
        name, summary, fields, known = seen.decoded()
        about = {
            "time": round(self._seconds(seen), 6),
            "socket": seen.socket,
            "to": "back-end" if seen.to_backend else "front-end",
            "request": seen.request,
            "name": name,
            "known": known,
            "summary": summary,
            "flags": seen.flags,
            "size": seen.size,
            "fds": list(seen.fds),
            "fields": dict(fields),
        }
        return json.dumps(about | ({} if checksum is None else {"crc32": f"{checksum:08x}"}))
