"""Machines on which the demonstration guest runs: ours, and the real QEMU."""

import contextlib
import os
import subprocess
import sys
import time

import pytest

import outboard.gpu
from outboard.machine.pseries.machine import PseriesMachine
from outboard.machine.pseries.virtio_gpu import VirtioGpu
from outboard.qemu.failure import QemuError
from outboard.qemu.find import find_c_helper, find_qemu

SIZE = (320, 200)
OURS = [sys.executable, "-m", "outboard", "gpu", "serve", "--once", "--fd", "{fd}"]
PATIENCE_S = 20


def missing(what):
    """Skip the test, or fail it where all peers must be there."""
    if os.environ.get("OUTBOARD_REQUIRE_PEERS"):
        pytest.fail(f"peer missing although OUTBOARD_REQUIRE_PEERS is set: {what}", pytrace=False)
    pytest.skip(f"peer missing: {what}")


def qemu(*versions):
    """A QEMU for ppc64 in a range of versions."""
    try:
        import qemu.qmp  # noqa: F401  only to see whether it is there

        return find_qemu("ppc64", *versions)
    except ImportError:
        missing("the Python package qemu.qmp; pip install 'outboard[qemu]'")
    except QemuError as error:
        missing(error)


def c_helper():
    """QEMU's own GPU back-end."""
    return str(find_c_helper() or missing("QEMU's vhost-user-gpu; apt-get install qemu-system-gui"))


@pytest.fixture(params=["ours", "c"])
def backend(request):
    """A command that starts a back-end, by an inherited socket."""
    return OURS if request.param == "ours" else [c_helper(), "--fd={fd}"]


@pytest.fixture
def machine():
    """`machine(cpus, ic_mode, command, ...)`: ours, with an edu in slot 1, and a GPU in slot 2 if it has a back-end."""
    with contextlib.ExitStack() as stack:

        def make(cpus=2, ic_mode="dual", command=None, edid=True, **options):
            gpu = [(2, VirtioGpu(command, [SIZE], edid=edid))] if command else []
            return stack.enter_context(PseriesMachine(cpus, ic_mode, [(1, "edu"), *gpu], **options))

        yield make


@pytest.fixture
def live(socket_dir):
    """`live(version, cpus, ic_mode, command, ...)`: a QEMU with the same devices."""
    from outboard.qemu.live import LiveMachine

    with contextlib.ExitStack() as stack:

        def make(version, cpus=2, ic_mode="dual", command=None, **options):
            binary = qemu((7, 2), (8,)) if version == 7 else qemu((10,))
            extra = ["-device", "edu,addr=01.0"]
            if command:
                socket = socket_dir / "gpu.sock"
                serve(stack, command, socket)
                width, height = SIZE
                gpu = f"vhost-user-gpu-pci,id=gpu,chardev=vgpu,xres={width},yres={height},addr=02.0"
                extra += ["-chardev", f"socket,id=vgpu,path={socket}", "-device", gpu]
            options = {"machine": "pseries-7.2", "extra": extra} | options
            return stack.enter_context(LiveMachine(binary, cpus, ic_mode, **options))

        yield make


def serve(stack, command, socket):
    """Have a back-end listen on a socket."""
    if command is OURS:
        stack.enter_context(outboard.gpu.serve(socket))
        return
    process = stack.enter_context(subprocess.Popen([command[0], f"--socket-path={socket}"], stderr=subprocess.DEVNULL))
    stack.callback(process.kill)
    deadline = time.monotonic() + PATIENCE_S
    while not socket.exists():
        assert process.poll() is None and time.monotonic() < deadline, "the C helper does not listen"
        time.sleep(0.01)
