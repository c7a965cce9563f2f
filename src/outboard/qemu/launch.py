"""QEMU command lines with GPUs outside, and a QEMU that runs one.

Documents: qemu(1); QEMU, "vhost-user back ends" (shared memory, chardev, device) and "Vhost-user-gpu Protocol".

Modelled: q35 and pseries with memory that other processes can map, vhost-user-gpu devices,
a kernel or a ROM that only halts, monitor, serial console and qtest as UNIX sockets.
Not modelled: disks, networks, other machines; give them as `extra` words.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from outboard.errors import LocalError
from outboard.qemu.failure import QemuError
from outboard.qemu.find import QemuBinary
from outboard.qemu.qmp import Qmp
from outboard.qemu.qtest import QTest
from outboard.qemu.serial import Serial

T = TypeVar("T")

MACHINES = {"x86_64": "q35", "ppc64": "pseries"}
CPUS = {
    ("x86_64", "tcg"): "max",
    ("ppc64", "tcg"): "power9",
    # a host that is a guest itself shows this feature, and refuses its register: "failed to set MSR 0x10a"
    ("x86_64", "kvm"): "host,-arch-capabilities",
}
CONSOLES = {"x86_64": "console=ttyS0 console=tty0", "ppc64": "console=hvc0 console=tty0"}

SUN_PATH_MAX = 107
"""Longest path of a UNIX socket, without the final zero: sockaddr_un, unix(7)."""


@dataclass(frozen=True)
class GpuDevice:
    """A GPU whose back-end listens on `socket`."""

    socket: Path
    id: str = "gpu"
    device: str = "vhost-user-gpu-pci"
    """Or `vhost-user-vga`, x86 only."""
    properties: Mapping[str, object] = field(default_factory=dict)
    """As QEMU writes them: `max_outputs`, `xres`, `yres`, `addr`, `edid`, …"""

    def words(self) -> list[str]:
        """Command line words."""
        options = "".join(f",{name}={value}" for name, value in self.properties.items())
        return [
            *("-chardev", f"socket,id=v{self.id},path={self.socket}"),
            *("-device", f"{self.device},id={self.id},chardev=v{self.id}{options}"),
        ]


@dataclass(frozen=True)
class QemuCommand:
    """What to run. `argv` is a pure function of it."""

    binary: QemuBinary
    gpus: tuple[GpuDevice, ...] = ()
    kernel: Path | None = None
    """Without one the machine has a ROM that only halts, for qtest."""
    initrd: Path | None = None
    append: str | None = None
    """Kernel command line; None: consoles on the serial port and on the screen."""
    memory_mib: int = 512
    accel: str = "tcg"
    """QEMU before 8.0 has vhost-user-gpu under `kvm` only."""
    cpu: str | None = None
    smp: int = 1
    qtest: bool = False
    extra: tuple[str, ...] = ()
    run_dir: Path = Path(".")
    """Where the sockets (`qmp.sock`, `ser.sock`, `qt.sock`) and `halt.bin` are."""

    def argv(self) -> list[str]:
        """The command line."""
        target, run_dir = self.binary.target, self.run_dir
        cpu = self.cpu or CPUS.get((target, self.accel), "host")
        machine = f"{MACHINES[target]},accel={self.accel},memory-backend=mem0"
        size = f"{self.memory_mib}M"
        words = [
            *(str(self.binary.path), *self.binary.data_arguments()),
            *("-M", machine, "-cpu", cpu, "-smp", str(self.smp), "-m", size),
            *("-object", f"memory-backend-memfd,id=mem0,size={size},share=on", "-nodefaults", "-vga", "none"),
            *(word for gpu in self.gpus for word in gpu.words()),
            *self.boot_words(),
            *("-serial", f"unix:{run_dir}/ser.sock,server=on,wait=off"),
            *("-qmp", f"unix:{run_dir}/qmp.sock,server=on,wait=off", "-display", "none"),
        ]
        if self.qtest:
            words += ["-qtest", f"unix:{run_dir}/qt.sock,server=on,wait=off", "-qtest-log", "none"]
        return [*words, *self.extra]

    def boot_words(self) -> list[str]:
        """The words that say what the machine runs."""
        if not self.kernel:
            return ["-bios", f"{self.run_dir}/halt.bin"]
        append = CONSOLES[self.binary.target] if self.append is None else self.append
        initrd = ["-initrd", str(self.initrd)] if self.initrd else []
        return ["-kernel", str(self.kernel), *initrd, "-append", append]


def halted_rom() -> bytes:
    """An x86 firmware of 64 KiB whose reset vector (at -16) is `cli; hlt; jmp` back to the hlt."""
    return b"\xf4" * 0xFFF0 + b"\xfa\xf4\xeb\xfd".ljust(16, b"\xf4")


class Qemu:
    """A running QEMU, as a context manager; it is gone after the block, however the block ends.

    Start the back-ends first: QEMU does not ask twice.
    """

    qmp: Qmp
    serial: Serial
    qtest: QTest
    """Only with `QemuCommand.qtest`."""

    def __init__(self, command: QemuCommand, timeout: float = 30) -> None:
        """command: what to run; its `run_dir` is replaced by a private, temporary one.

        timeout: seconds until the monitor must answer.
        """
        self.command = command
        self.timeout = timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._cleanup = ExitStack()
        self._stderr = ""

    def __enter__(self) -> Qemu:
        """Start it and wait for its monitor. Raises QemuError with what QEMU said."""
        with self._cleanup as cleanup:
            self._start(cleanup)
            deadline = time.monotonic() + self.timeout
            # the serial port first: no guest has run when its socket appears
            self.serial = self._connect("ser.sock", Serial, deadline)
            cleanup.callback(self.serial.close)
            if self.command.qtest:
                self.qtest = self._connect("qt.sock", QTest, deadline)
                cleanup.callback(self.qtest.close)
            self.qmp = self._monitor(deadline)
            cleanup.callback(self.qmp.close)
            self._cleanup = cleanup.pop_all()
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error:
            error.add_note(self.report())
        self._cleanup.close()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._running().pid

    @property
    def stderr(self) -> str:
        """All that QEMU wrote to its standard output and error, also after its end."""
        self._keep_stderr()
        return self._stderr

    def report(self) -> str:
        """What it was, whether it runs, and what it said: for an error's text."""
        code = self._process.poll() if self._process else None
        state = "runs" if code is None else f"ended with {code}"
        said = "".join(f"\n    {line}" for line in self.stderr.splitlines()[-20:]) or " nothing"
        return f"{self.command.binary} {state}; it said:{said}\n  command: {' '.join(self.command.argv())}"

    def wait_exit(self, timeout: float = 30) -> int:
        """Wait until QEMU ends by itself; its exit code. Raises QemuError after `timeout` seconds."""
        try:
            return self._running().wait(timeout)
        except subprocess.TimeoutExpired:
            raise QemuError(f"QEMU did not end within {timeout:g} s\n  {self.report()}") from None

    def quit(self, timeout: float = 30) -> int:
        """Ask QEMU to end, as a user would; its exit code."""
        self.qmp.command("quit")
        return self.wait_exit(timeout)

    def _keep_stderr(self) -> None:
        """Read what QEMU wrote, as long as its folder is there."""
        written = self.command.run_dir / "stderr"
        if self._process and written.exists():
            self._stderr = written.read_text(errors="replace")

    def _running(self) -> subprocess.Popen[bytes]:
        if not self._process:
            raise LocalError("this QEMU was not started; use it in a with block")
        return self._process

    def _start(self, cleanup: ExitStack) -> None:
        """Make the folder and start the process; `cleanup` gets what undoes it."""
        run_dir = Path(tempfile.mkdtemp(prefix="outboard-"))
        cleanup.callback(shutil.rmtree, run_dir, ignore_errors=True)
        cleanup.callback(self._keep_stderr)
        for socket in (run_dir / "qmp.sock", *(gpu.socket for gpu in self.command.gpus)):
            if len(os.fsencode(socket)) > SUN_PATH_MAX:
                raise LocalError(
                    f"socket path longer than {SUN_PATH_MAX} bytes: {socket}; use a shorter folder (TMPDIR)"
                )
        self.command = replace(self.command, run_dir=run_dir)
        (run_dir / "halt.bin").write_bytes(halted_rom())
        with (run_dir / "stderr").open("wb") as stderr:
            self._process = subprocess.Popen(
                self.command.argv(),
                env=self.command.binary.env(),
                stdin=subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
                start_new_session=True,  # Ctrl-C is ours; the block's end stops QEMU
            )
        cleanup.callback(stop, self._process, watch(self._process.pid, run_dir))

    def _connect(self, name: str, connect: Callable[[Path], T], deadline: float) -> T:
        """Connect to a socket that QEMU makes; it appears some milliseconds after the start."""
        while True:
            try:
                return connect(self.command.run_dir / name)
            except OSError as error:
                self._expect_alive()
                if time.monotonic() > deadline:
                    raise QemuError(f"QEMU made no {name} within {self.timeout:g} s\n  {self.report()}") from error
                time.sleep(0.005)

    def _monitor(self, deadline: float) -> Qmp:
        """Connect the monitor; it greets when the machine is made, that is after the back-ends answered."""
        try:
            return self._connect("qmp.sock", partial(Qmp, timeout=self.timeout), deadline)
        except QemuError as error:
            self._expect_alive(grace=1)
            raise QemuError(f"{error}; a back-end that does not answer makes QEMU wait\n  {self.report()}") from error

    def _expect_alive(self, grace: float = 0) -> None:
        """Raise QemuError when QEMU ended, within `grace` seconds from now."""
        try:
            self._running().wait(grace)
        except subprocess.TimeoutExpired:
            return
        raise QemuError(f"QEMU ended while it started\n  {self.report()}")


def watch(pid: int, run_dir: Path) -> subprocess.Popen[bytes]:
    """A shell that kills `pid` and removes `run_dir` when this Python dies without a word.

    A line on its input ends it.
    """
    script = 'read -r _ || { kill -KILL "$1" 2>/dev/null; rm -rf -- "$2"; }'
    argv = ["/bin/sh", "-c", script, "watch", str(pid), str(run_dir)]
    return subprocess.Popen(argv, stdin=subprocess.PIPE, start_new_session=True)


def stop(process: subprocess.Popen[bytes], watcher: subprocess.Popen[bytes]) -> None:
    """End QEMU: politely, for a QEMU that waits for a back-end with force."""
    process.terminate()
    try:
        process.wait(2)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    watcher.communicate(b"\n")
