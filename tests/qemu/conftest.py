"""Peers for the tests against the real QEMU.

A test whose peer is missing is skipped and says what is missing; with OUTBOARD_REQUIRE_PEERS set it fails.
`python3 tests/peers/fetch.py --install` brings every peer but KVM, which a machine has or has not.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

from outboard.qemu import GpuDevice, Qemu, QemuBinary, QemuCommand, QemuError, find_c_helper, find_qemu, kvm_problem
from tests.peers import initramfs
from tests.peers.debian import PeerError
from tests.peers.patterns import Picture, read_ppm
from tests.qemu import witnesses

READY = r"outboard-guest: ready (\S+) (\S+)\n"
"""What the guest's shell says when it reads commands: kernel release, size of its framebuffer."""
BOOT_TIMEOUT = 100
MEMORY_MIB = {"amd64": 512, "ppc64le": 1024}
TARGET = {"amd64": "x86_64", "ppc64le": "ppc64"}

Boot = Callable[..., AbstractContextManager[Qemu]]
Shot = Callable[..., Picture]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Have the words of guest and back-end in the report of a failure."""
    report = yield
    if report.failed:
        report.sections += witnesses.sections()
    return report


@pytest.fixture(scope="module", autouse=True)
def own_witnesses() -> Iterator[None]:
    """Those of another module have nothing to say."""
    witnesses.forget()
    yield


def missing(what: object) -> NoReturn:
    """Skip the test, or fail it where all peers must be there."""
    if os.environ.get("OUTBOARD_REQUIRE_PEERS"):
        pytest.fail(f"peer missing although OUTBOARD_REQUIRE_PEERS is set: {what}", pytrace=False)
    pytest.skip(f"peer missing: {what}")


def some_qemu(target: str, *versions: tuple[int, ...]) -> QemuBinary:
    """A QEMU in a range of versions, and the client of its monitor; else `missing`."""
    try:
        import qemu.qmp  # noqa: F401  only to see whether it is there
    except ImportError:
        missing("the Python package qemu.qmp; pip install 'outboard[qemu]'")
    try:
        return find_qemu(target, *versions)
    except QemuError as error:
        missing(error)


@pytest.fixture(scope="session")
def qemu_10_x86() -> QemuBinary:
    """QEMU 10 or newer for x86_64: vhost-user-gpu under TCG."""
    return some_qemu("x86_64", (10,))


@pytest.fixture(scope="session")
def qemu_10_ppc() -> QemuBinary:
    """QEMU 10 or newer for ppc64."""
    return some_qemu("ppc64", (10,))


@pytest.fixture(scope="session")
def qemu_7_x86() -> QemuBinary:
    """Debian 12's own QEMU for x86_64: vhost-user-gpu under KVM only."""
    return some_qemu("x86_64", (7, 2), (8,))


@pytest.fixture(scope="session")
def qemu_7_ppc() -> QemuBinary:
    """Debian 12's own QEMU for ppc64: the interrupt controller that ours is measured by."""
    return some_qemu("ppc64", (7, 2), (8,))


@pytest.fixture(scope="session")
def kvm() -> None:
    """A usable /dev/kvm. No package brings it, so its lack skips a test in any case."""
    if problem := kvm_problem():
        pytest.skip(f"KVM cannot be used here: {problem}")


@pytest.fixture
def c_helper(socket_dir: Path) -> Iterator[Path]:
    """QEMU's own GPU back-end, listening; the path of its socket."""
    program = find_c_helper()
    if not program:
        missing("QEMU's vhost-user-gpu; apt-get install qemu-system-gui")
    path = socket_dir / "c-helper.sock"
    with subprocess.Popen([program, f"--socket-path={path}"], stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(path.exists, "the C helper's socket")
            yield path
        finally:
            process.kill()


def wait_until(condition: Callable[[], object], what: str, timeout: float = 10) -> None:
    """Look again until `condition` is true; fails the test after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"{what} did not come within {timeout:g} s")
        time.sleep(0.02)


@pytest.fixture(scope="session")
def kms(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The guest program kms for amd64, linked statically."""
    source, program = initramfs.GUEST / "kms.c", tmp_path_factory.mktemp("kms") / "kms"
    command = ["gcc", "-static", "-O2", "-Wall", "-Wextra", "-Werror", "-o", str(program), str(source)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except FileNotFoundError:
        missing("gcc; apt-get install gcc libc6-dev linux-libc-dev libdrm-dev")
    except subprocess.CalledProcessError as error:
        if "No such file" in error.stderr:
            missing(f"a header for kms.c; apt-get install libc6-dev linux-libc-dev libdrm-dev\n{error.stderr}")
        pytest.fail(f"kms.c does not compile:\n{error.stderr}", pytrace=False)
    return program.read_bytes()


@pytest.fixture(scope="session")
def initrd(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The initramfs of an architecture, made once; amd64's has kms."""
    made: dict[str, Path] = {}
    folder = tmp_path_factory.mktemp("initrd")

    def make(arch: str) -> Path:
        if arch not in made:
            files = {"bin/kms": request.getfixturevalue("kms")} if arch == "amd64" else {}
            try:
                made[arch] = initramfs.build(arch, folder / f"{arch}.gz", files=files)
            except PeerError as error:
                missing(error)
        return made[arch]

    return make


@pytest.fixture(scope="session")
def boot(initrd: Callable[[str], Path]) -> Boot:
    """`with boot("amd64", socket, max_outputs=2) as vm:` a Debian guest on the newest QEMU, with TCG.

    socket: where the back-end listens already. Further arguments: properties of the GPU; `extra`: words
    of the command line. The guest's shell reads commands, its screen is quiet and has text.
    """

    @contextmanager
    def start(arch: str, socket: Path, extra: tuple[str, ...] = (), **properties: object) -> Iterator[Qemu]:
        command = QemuCommand(
            some_qemu(TARGET[arch], (10,)),
            (GpuDevice(socket, properties=properties),),
            initrd=initrd(arch),
            kernel=initramfs.kernel(arch).image,
            memory_mib=MEMORY_MIB[arch],
            extra=extra,
        )
        with Qemu(command) as vm:
            witnesses.hear("QEMU", vm.report)
            witnesses.hear("the guest's console", lambda: vm.serial.tail(40))
            vm.serial.wait_for(READY, BOOT_TIMEOUT)
            yield vm

    return start


@pytest.fixture
def shot(tmp_path: Path) -> Shot:
    """`shot(vm)`, `shot(vm, head=1)`: what QEMU's screendump shows."""

    def take(vm: Qemu, device: str = "gpu", head: int = 0) -> Picture:
        return read_ppm(vm.qmp.screendump(tmp_path / "shot.ppm", device, head, "ppm"))

    return take
