"""What a library's user holds of a back-end that is served: the end of its `with` statement is the back-end's."""

import os
from types import TracebackType
from typing import Self

from outboard.backend.server import Server


class Service:
    """A served back-end. A subclass makes `_server`, on whose handlers `_bug` is the `on_bug`."""

    _server: Server

    def __init__(self) -> None:
        self._failure: BaseException | None = None
        self._closed = False

    def _listen(self, path: str | os.PathLike[str] | None, fd: int | None) -> None:
        """Serve on a path, or on an inherited socket. Raises LocalError."""
        if path is not None:
            self._server.listen(path)
        else:
            self._server.adopt(-1 if fd is None else fd)

    @property
    def connected(self) -> bool:
        """Whether a front-end is connected now."""
        return self._server.session is not None

    @property
    def sessions(self) -> int:
        """How many front-ends have connected so far."""
        return self._server.sessions

    def _bug(self, error: Exception) -> None:
        """Keep a bug of ours for whoever leaves the `with` block; the front-end is dropped, the service goes on."""
        self._failure = self._failure or error
        self._server.drop(error)

    def close(self) -> None:
        """Stop serving and free everything; safe to call twice."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if self._failure is not None and value is None:
            raise self._failure
