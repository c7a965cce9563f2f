"""A display server: hosts a GPU back-end of any make with no virtual machine, its screens looked at from any thread.

    with DisplayServer(modes=[(1280, 800)]) as server:
        server.start(["/usr/lib/qemu/vhost-user-gpu", "--fd={fd}"])
        server.boot()
        ...                                   # a driver draws, on server.vmm
        server.screens[0].wait_for_frame().rgb

Source: QEMU docs/interop/vhost-user-gpu, docs/interop/vhost-user.
"""

import os
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self, TypeVar

from outboard.errors import LocalError, OutboardError, WaitTimeout
from outboard.frontend.backend_process import BackendProcess
from outboard.frontend.control import Observer
from outboard.frontend.display_reader import DEFAULT_SIZE, DisplayReader
from outboard.frontend.ram import GuestRam, Span
from outboard.frontend.shared_buffer import import_buffer
from outboard.frontend.vmm import Vmm
from outboard.spec.vhost_user_gpu import ProtocolFeature
from outboard.spec.virtio_gpu import MAX_SCANOUTS
from outboard.vhost_user.display_receiver import MAX_PIXELS, Size
from outboard.viewers.live import LiveScreen, LiveScreens

RAM_BASE = 0x4000_0000
RAM_SIZE = 256 << 20
"""Bytes of guest memory; they take room where they are touched."""
LOG_LENGTH = 256
Result = TypeVar("Result")


class DisplayServer:
    """Memory, rings and a display, in front of a back-end; use it in a `with` statement.

    vmm: what a driver draws on. display: the reader of the GPU socket. backend: the program, if one was started.

    modes: sizes of the outputs, (0, 0) for one that is off. max_pixels: of all scanouts together; larger ones are
    refused, so that 16 bytes a pixel bound what a back-end can make this process keep. features: of the display
    protocol. ram_size: bytes. timeout_s: for every wait. observer: called for every message.
    """

    def __init__(
        self,
        modes: Sequence[Size] = (DEFAULT_SIZE,),
        *,
        max_pixels: int = MAX_PIXELS,
        features: int = ProtocolFeature.EDID | ProtocolFeature.DMABUF2,
        ram_size: int = RAM_SIZE,
        timeout_s: float = 5.0,
        observer: Observer | None = None,
    ) -> None:
        if not 1 <= len(modes) <= MAX_SCANOUTS:
            raise LocalError(f"{len(modes)} outputs: a display has 1 to {MAX_SCANOUTS}")
        self._screens = LiveScreens(MAX_SCANOUTS, import_buffer)
        self.display = DisplayReader(
            modes,
            features,
            screens=self._screens,
            threaded=True,
            max_pixels=max_pixels,
            log_length=LOG_LENGTH,
            observer=observer,
        )
        self.vmm = Vmm(self.display, GuestRam([Span(RAM_BASE, ram_size)]), timeout_s=timeout_s, observer=observer)
        self.backend: BackendProcess | None = None

    @property
    def screens(self) -> list[LiveScreen]:
        """The screens, by scanout_id."""
        return self._screens.live

    @property
    def violations(self) -> list[str]:
        """What the back-end must not have sent on the GPU socket, in words."""
        return self.display.violations

    def start(self, command: Sequence[str]) -> None:
        """Start a back-end program and connect to it; see `BackendProcess`. Raises LocalError."""
        if self.backend is not None:
            raise LocalError(f"{self.backend.command[0]} was started already; one display has one back-end")
        self.backend = BackendProcess(command)
        self.vmm.attach(self.backend.connect(self.vmm.timeout_s))

    def connect(self, path: str | os.PathLike[str]) -> None:
        """Connect to a back-end that listens. Raises WaitTimeout."""
        self.vmm.connect(path)

    def boot(self) -> None:
        """Do what a VMM does until its guest's driver is ready. Raises LocalError when the back-end does not."""

        def start() -> None:
            self.vmm.negotiate()
            self.vmm.start()

        self.told(start)

    def told(self, call: Callable[[], Result]) -> Result:
        """Make a call; when it fails and the back-end has gone, or hangs, say what became of it.

        Raises LocalError for one that has gone, WaitTimeout, and what else the call raises.
        """
        try:
            return call()
        except OutboardError as error:
            if self.backend is None:
                raise
            gone = self.backend.wait(0.2) is not None
            if not gone and not isinstance(error, WaitTimeout):
                raise
            raise (LocalError if gone else WaitTimeout)(f"{self.backend.fate()}; {error}") from error

    def resize(self, scanout_id: int, width: int, height: int) -> None:
        """Change the size that an output's display wants; the guest is interrupted and asks again."""
        self.vmm.resize(scanout_id, width, height)

    def close(self) -> None:
        """End the back-end, close everything."""
        self.vmm.close()
        if self.backend is not None:
            self.backend.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()
