"""A gate that coroutines wait at, any number of them, until it is opened."""

from outboard.aio.coroutine import Completion


class Gate:
    """Closed when it is made. Who comes after `open` waits for the next one."""

    def __init__(self) -> None:
        self._waiting: list[Completion[None]] = []

    async def wait(self) -> None:
        """Go on when the gate is opened, in a bottom half of the place where the coroutine runs."""
        opened: Completion[None] = Completion()
        self._waiting.append(opened)
        await opened

    def open(self) -> None:
        """Let all go on that wait now. From any thread that has the context acquired."""
        waiting, self._waiting = self._waiting, []
        for opened in waiting:
            opened.set_result(None)
