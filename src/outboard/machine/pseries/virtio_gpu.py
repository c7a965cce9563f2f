"""virtio-gpu-pci: a GPU whose queues a back-end in another process serves, by vhost-user.

Source: VIRTIO-1.2 5.7; QEMU docs/interop/vhost-user-gpu; what is offered, and when what is sent, as by QEMU's
vhost-user-gpu-pci.

The back-end is started with the machine. When it dies, hangs or breaks its protocol, the device needs a reset and says
why in `failure`; the machine goes on. A reset starts another one, unless the back-end can be reset itself.
"""

import contextlib
from collections.abc import Callable, Sequence
from typing import TypeGuard

from outboard.errors import LocalError, OutboardError
from outboard.frontend.backend_process import BackendProcess
from outboard.frontend.display_reader import DEFAULT_SIZE, DisplayReader
from outboard.frontend.ram import GuestRam
from outboard.frontend.shared_buffer import import_buffer
from outboard.machine.pseries.gpu_session import GpuSession
from outboard.machine.pseries.pci_device import Host
from outboard.machine.pseries.virtio_common import Queue
from outboard.machine.pseries.virtio_pci import Interrupts, VirtioPci
from outboard.spec.vhost_user import ProtocolFeature
from outboard.spec.virtio import DEVICE_ID_GPU, Feature
from outboard.spec.virtio_gpu import MAX_SCANOUTS, Config
from outboard.spec.virtio_gpu import Feature as GpuFeature
from outboard.viewers.live import LiveScreen, LiveScreens

NAME = "virtio-gpu-pci"
CLASS_DISPLAY_OTHER = 0x0380
QUEUE_SIZES = (64, 16)
OF_FRONT_END = Feature.VERSION_1 | Feature.INDIRECT_DESC | Feature.EVENT_IDX
"""Offered whatever the back-end offers."""
OF_BACK_END = GpuFeature.EDID
"""Offered if the back-end does."""
LOG_LENGTH = 256
START_S = 10.0
"""Seconds that a back-end may take to start."""
Size = tuple[int, int]


class GpuBackend:
    """The device behind the transport: a back-end's process, its session, and the display.

    patience_s: how long a kick may wait. Each one that waits in vain halves it: a guest that writes the used ring
    itself holds the machine up for twice `timeout_s` in all.
    """

    def __init__(
        self,
        command: Sequence[str],
        display: DisplayReader,
        timeout_s: float,
        start_s: float,
        settle: bool,
        offers: int,
    ) -> None:
        self.command = list(command)
        self.display = display
        self.timeout_s = timeout_s
        self.start_s = start_s
        self.settle = settle
        self.offers = offers
        self.failure = ""
        self.unsettled = 0
        self.patience_s = timeout_s
        self.process: BackendProcess | None = None
        self.features = 0
        self._ram: GuestRam | None = None
        self._session: GpuSession | None = None

    # Life

    def open(self, ram: GuestRam) -> None:
        """Start the back-end and do what QEMU does when it makes the device. Raises LocalError, WaitTimeout."""
        self._ram = ram
        self.process = BackendProcess(self.command)
        session = GpuSession(self.display, ram, len(QUEUE_SIZES), self.start_s)
        try:
            session.attach(self.process.connect(self.start_s))
            session.negotiate()
        except OutboardError as error:
            words = self._fate(error)
            session.close()
            self._hang_up()
            raise LocalError(words) from error
        except BaseException:  # interrupted
            session.close()
            self._hang_up()
            raise
        session.timeout_s = self.timeout_s
        self._session, self.failure = session, ""
        self.features = OF_FRONT_END | session.session.features_offered & self.offers

    def _fate(self, error: Exception) -> str:
        """Return what became of the back-end, in words."""
        if self.process is None or self.process.wait(0.2) is None:
            return f"the back-end: {error}"
        return f"{self.process.fate()}; {error}"

    def _fail(self, error: Exception) -> None:
        self.failure = self._fate(error)
        self._hang_up()

    def _hang_up(self) -> None:
        session, self._session = self._session, None
        if session:
            session.close()
        if self.process:
            self.process.close()
            self.process = None

    def close(self) -> None:
        """End the back-end."""
        self._hang_up()
        self.display.close()

    # What the transport asks

    def start(self, features: int, queues: list[Queue]) -> None:
        """Start the back-end's device with a guest's queues."""
        if self._session is None:
            return
        try:
            self._session.begin(features, queues)
            for index, queue in enumerate(queues):
                if queue.enabled:
                    self.notify(index)
        except LocalError as error:
            self.failure = f"not started: {error}"
        except (OutboardError, OSError) as error:
            self._fail(error)

    def stop(self) -> None:
        """Stop the back-end's device; its rings stay where they are."""
        self._do(lambda session: session.stop() if session.running else None)

    def reset(self) -> None:
        """Reset the back-end's device, or begin with another back-end."""
        session = self._session
        if session is None or self.failure:
            self._hang_up()
        elif session.session.protocol_features & ProtocolFeature.RESET_DEVICE:
            self._do(lambda session: session.reset())
        elif session.begun:
            self._hang_up()
        if self._session is None and self._ram:
            try:
                self.open(self._ram)
            except LocalError as error:
                self.failure = str(error)

    def _do(self, call: Callable[[GpuSession], object]) -> bool:
        """Ask the back-end for something; false, and it is lost, when it does not answer as it must."""
        if self._session is None:
            return False
        try:
            call(self._session)
        except (OutboardError, OSError) as error:
            self._fail(error)
            return False
        return True

    def notify(self, queue: int) -> None:
        """Kick the back-end; where the machine is deterministic, until it has done what is there."""

        def kick(session: GpuSession) -> None:
            if session.running and session.placed[queue].placed:
                session.kick(queue)
                if self.settle and not session.settle(queue, self.patience_s):
                    self.unsettled += 1
                    self.patience_s /= 2

        self._do(kick)

    def read_config(self) -> bytes:
        """Return the configuration as the guest sees it; zeros when the back-end does not answer."""
        found = bytes(Config.sizeof)

        def read(session: GpuSession) -> None:
            nonlocal found
            found = session.config().pack()

        self._do(read)
        return found

    def write_config(self, offset: int, data: bytes) -> None:
        """Write the configuration."""
        self._do(lambda session: session.write_config(offset, data))

    def resize(self, scanout_id: int, width: int, height: int) -> None:
        """Change the size that a display wants. Raises LocalError for one that there is not, or a wrong size."""
        if self._session is None:
            raise LocalError(f"the device does not work: {self.failure}")
        self._session.resize(scanout_id, width, height)

    def interrupts(self) -> Interrupts:
        """Return what the back-end has signalled, and whether a display has changed."""
        session = self._session
        if session is None:
            return Interrupts()
        self._do(lambda session: session.serve())
        if self._session and session.control.gone:
            self._fail(LocalError("it closed its control socket"))
        if self._session is None:
            return Interrupts()
        return Interrupts(session.signalled(), session.config_space.interrupted())

    def waits_on(self) -> dict[int, int]:
        """Return the fds at which something may come, with what to poll them for."""
        return self._session.waits_on() if self._session else {}


def _is_list(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _check_command(command: object) -> None:
    if not _is_list(command) or not all(isinstance(one, str) for one in command):
        raise LocalError(f"a back-end's command is a list of words, not {command!r}")


def _check_sizes(sizes: object) -> None:
    """Raise LocalError for what is no sizes; which ones a display can have, it says itself."""
    if not _is_list(sizes):
        raise LocalError(f"sizes are a list of (width, height), not {sizes!r}")
    if not 1 <= len(sizes) <= MAX_SCANOUTS:
        raise LocalError(f"{len(sizes)} displays: a GPU has 1 to {MAX_SCANOUTS}")
    for size in sizes:
        if not _is_list(size) or [isinstance(side, int) for side in size] != [True, True]:
            raise LocalError(f"the size of a display is (width, height), not {size!r}")


class VirtioGpu(VirtioPci):
    """A virtio-gpu-pci for `PseriesMachine`.

    command: the back-end, as `BackendProcess` takes it. sizes: of the displays, (0, 0) for one that is off. timeout_s:
    how long the back-end may take to answer; start_s: the first time. settle: whether each kick waits until the
    back-end has done what is on the queue, so that a run repeats exactly; without, it works beside the guest. edid:
    whether that feature is offered, if the back-end has it.
    """

    snapshots = False

    def __init__(
        self,
        command: Sequence[str],
        sizes: Sequence[Size] = (DEFAULT_SIZE,),
        *,
        timeout_s: float = 5.0,
        start_s: float = START_S,
        settle: bool = True,
        edid: bool = True,
    ) -> None:
        _check_command(command)
        _check_sizes(sizes)
        screens = LiveScreens(MAX_SCANOUTS, import_buffer)
        self.display = DisplayReader(list(sizes), screens=screens, threaded=not settle, log_length=LOG_LENGTH)
        self._screens = screens
        self.backend = GpuBackend(command, self.display, timeout_s, start_s, settle, OF_BACK_END if edid else 0)
        super().__init__(NAME, DEVICE_ID_GPU, CLASS_DISPLAY_OTHER, self.backend, QUEUE_SIZES)

    @property
    def screens(self) -> list[LiveScreen]:
        """The screens, by scanout_id."""
        return self._screens.live

    @property
    def failure(self) -> str:
        """Why the device does not work, "" while it does."""
        return self.backend.failure

    def plug(self, host: Host, slot: int) -> None:
        """Put the device into a slot, and start its back-end. Raises LocalError when that fails."""
        super().plug(host, slot)
        try:
            self.backend.open(host.ram)
        except BaseException:
            self.close()
            raise

    def resize(self, scanout_id: int, width: int, height: int) -> None:
        """Change the size that a display wants, 0 x 0 unplugs it; the guest is interrupted. Raises LocalError."""
        self.backend.resize(scanout_id, width, height)
        self.poll()

    def waits_on(self) -> dict[int, int]:
        """Return the fds at which something may come, with what to poll them for."""
        return self.backend.waits_on()

    def close(self) -> None:
        """End the back-end."""
        with contextlib.suppress(OutboardError):
            self.backend.close()
