"""Files that pictures of contexts and block graphs are written to; what they are is told by the suffix."""

import dataclasses
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from outboard.aio.context import AioContext
from outboard.aio.timeline import Recorder, Timeline, chrome
from outboard.aio.timeline import svg as timeline_svg
from outboard.aio.timeline import text as timeline_text
from outboard.block.backend import BlockBackend
from outboard.block.picture import Picture, look, svg, text
from outboard.block.watch import watched
from outboard.cli.files import checked
from outboard.errors import LocalError

T = TypeVar("T")


def _json(picture: Picture) -> str:
    return json.dumps(dataclasses.asdict(picture), indent=1) + "\n"


# Suffix: what makes the file. Any other is text.
GRAPHS: dict[str, Callable[[Picture], str]] = {".svg": svg.draw, ".json": _json}
TIMELINES: dict[str, Callable[[Timeline], str]] = {".svg": timeline_svg.draw, ".json": chrome.trace}


def write(path: Path, content: str) -> None:
    """Write a file. Raises LocalError when that fails."""
    try:
        path.write_text(content, encoding="utf-8")
    except OSError as error:
        raise LocalError(f"{path}: cannot write: {error.strerror}") from None


class Pictures:
    """What a process that serves disks draws of itself, when it is asked and when it ends.

    graph, timeline: files, or None. Raises LocalError for files that cannot be written.
    """

    def __init__(self, graph: str | None, timeline: str | None) -> None:
        self._graph = checked("--graph", graph) if graph else None
        self._timeline = checked("--timeline", timeline) if timeline else None
        self._recorder = Recorder()

    @contextmanager
    def of(
        self, disks: Sequence[tuple[str, BlockBackend]], contexts: Sequence[AioContext]
    ) -> Iterator[Callable[[], None]]:
        """Look on at disks, by their names, for a block, and draw them at its end; yield what draws them at once."""
        backends = [backend for _, backend in disks]

        def draw() -> None:
            if self._graph is not None:
                picture = look(*backends, contexts=contexts)
                self._save(self._graph, GRAPHS.get(self._graph.suffix, text.draw)(picture))
            if self._timeline is not None:
                line = self._recorder.timeline()
                self._save(self._timeline, TIMELINES.get(self._timeline.suffix, timeline_text.draw)(line))

        if self._timeline is None:
            yield draw
            draw()
            return
        nodes = [(name, backend.node) for name, backend in disks if backend.node is not None]
        with self._recorder, watched(self._recorder, nodes):
            yield draw
        draw()

    @staticmethod
    def _save(path: Path, content: str) -> None:
        """A picture that cannot be written ends nothing."""
        try:
            write(path, content)
        except LocalError as error:
            print(f"outboard: {error}", file=sys.stderr, flush=True)
        else:
            print(f"outboard: wrote {path}", file=sys.stderr, flush=True)
