"""Programs that are started as back-ends: how they get their socket, what is said of their end, that none is left."""

import gc
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from outboard.errors import LocalError
from outboard.frontend import backend_process
from outboard.frontend.backend_process import BackendProcess
from outboard.qemu.find import find_c_helper

pytestmark = pytest.mark.alike

PYTHON = [sys.executable, "-S", "-c"]
ECHO_BY_FD = [
    *PYTHON,
    "import socket, sys\nwith socket.socket(fileno=int(sys.argv[1])) as s:\n while d := s.recv(9): s.send(d.upper())",
    "{fd}",
]
ECHO_BY_PATH = [
    *PYTHON,
    "import socket, sys, time\nl = socket.socket(1)\nl.bind(sys.argv[1][5:])\ntime.sleep(.05)\nl.listen()\n"
    "s, _ = l.accept()\nwhile d := s.recv(9): s.send(d.upper())",
    "path={socket}",
]
DEAF = [*PYTHON, "import signal; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); signal.pause()", "{fd}"]


def dies(code: str, mark: str = "{fd}") -> list[str]:
    return [*PYTHON, f"import os, sys, signal; {code}", mark]


def exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize("command", [ECHO_BY_FD, ECHO_BY_PATH])
def test_a_program_is_connected_and_gone_at_the_end(command, open_fds):
    before = open_fds()
    with BackendProcess(command) as backend:
        with backend.connect(20) as sock:
            sock.settimeout(20)
            sock.send(b"hello")
            assert sock.recv(9) == b"HELLO"
            assert sock.getblocking()
        assert backend.wait(20) == 0
        assert "exited with status 0" in backend.fate()
        pid, folder = backend.pid, backend._folder.name
    assert not exists(pid)
    assert not Path(folder).exists()
    assert open_fds() == before
    backend.close()


def test_qemus_c_helper_by_both_ways():
    program = find_c_helper()
    if program is None:
        pytest.skip("QEMU's vhost-user-gpu is not installed; apt-get install qemu-system-gui")
    for way in ("--fd={fd}", "--socket-path={socket}"):
        with BackendProcess([str(program), way]) as backend, backend.connect(20) as sock:
            sock.settimeout(20)
            sock.send(bytes.fromhex("01000000 01000000 00000000"))
            assert sock.recv(20)[:12] == bytes.fromhex("01000000 05000000 08000000")
            assert backend.alive


@pytest.mark.parametrize(
    "command", [[], ["true"], ["true", "{file}"], ["true", "{fd}", "{socket}"], ["--fd={fd} --path={socket}"]]
)
def test_a_command_must_say_where_its_socket_belongs(command):
    with pytest.raises(LocalError, match=r"write \{socket\} where"):
        BackendProcess(command)


@pytest.mark.parametrize("mark", ["{fd}", "{socket}"])
@pytest.mark.parametrize("program", ["/nowhere/at-all", "/etc/passwd", "/"])
def test_a_program_that_cannot_be_started_is_named(program, mark, open_fds):
    before = open_fds()
    with pytest.raises(LocalError, match=f"{program}: cannot be started: "):
        BackendProcess([program, mark])
    assert open_fds() == before


@pytest.mark.parametrize(
    ("code", "fate"),
    [
        ("sys.exit(7)", "exited with status 7$"),
        ("sys.exit('no such\\ncard, sorry')", "exited with status 1, its last words: card, sorry"),
        ("print('one\\ntwo\\n\\n', flush=True); os._exit(0)", "exited with status 0, its last words: two"),
        ("os.write(2, b'\\xff\\xfe bytes'); os._exit(2)", "exited with status 2, its last words: .* bytes"),
        ("os.write(1, b'x' * 100000); os._exit(2)", "its last words: x{4096}$"),
        ("os.kill(os.getpid(), 9)", "died of SIGKILL$"),
        ("os.kill(os.getpid(), 6)", "died of SIGABRT$"),
        ("os.kill(os.getpid(), 40)", "died of signal 40$"),
    ],
)
def test_the_end_in_words(code, fate):
    with BackendProcess(dies(code)) as backend:
        assert backend.wait(20) is not None
        assert not backend.alive
        with pytest.raises(LocalError, match=fate):
            raise LocalError(backend.fate())
        assert backend.fate().startswith(sys.executable)


def test_a_program_that_ends_before_it_listens():
    with BackendProcess(dies("sys.exit('card is on fire')", "{socket}")) as backend:
        with pytest.raises(LocalError, match=r"exited with status 1, its last words: card is on fire; nobody listens"):
            backend.connect(20)
    with BackendProcess(["false", "{socket}"]) as backend:
        with pytest.raises(LocalError, match=r"^false exited with status 1; nobody listens"):
            backend.connect(20)


def test_a_program_that_never_listens():
    with BackendProcess(["sh", "-c", "exec sleep 600", "{socket}"]) as backend:
        with pytest.raises(LocalError, match=r"sh still runs, but does not listen on \{socket\} after 0.05 s"):
            backend.connect(0.05)
        pid = backend.pid
    assert not exists(pid)


def test_a_program_that_listens_and_never_accepts():
    code = "import socket, sys, signal\nl = socket.socket(1)\nl.bind(sys.argv[1])\nl.listen(0)\nsignal.pause()"
    with BackendProcess([*PYTHON, code, "{socket}"]) as backend:
        taken = []
        with pytest.raises(LocalError, match="still runs, but does not listen"):
            for _ in range(5):  # The system queues one or two.
                taken.append(backend.connect(0.2 if taken else 20))
        for sock in taken:
            sock.close()


def test_a_path_that_no_socket_can_have(monkeypatch, tmp_path, open_fds):
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    monkeypatch.setattr(backend_process.tempfile, "tempdir", str(folder))
    before = open_fds()
    with BackendProcess(["sleep", "600", "-{socket}"]) as backend:
        with pytest.raises(LocalError, match="cannot be connected to"):
            backend.connect(20)
    assert open_fds() == before


def test_a_program_that_does_not_end_by_itself_is_killed(monkeypatch):
    monkeypatch.setattr(backend_process, "END_S", 0.02)
    with BackendProcess(DEAF) as backend:
        end = time.monotonic() + 20
        while backend.last_words() != "deaf" and time.monotonic() < end:
            time.sleep(0.001)
        pid = backend.pid
    assert backend.process.returncode == -signal.SIGKILL
    assert not exists(pid)


def test_ctrl_c_while_it_starts_leaves_nothing(monkeypatch):
    """It is felt once the program can be ended, and ends it."""
    popen, pids = subprocess.Popen, []

    def interrupted(*words, **options):
        signal.raise_signal(signal.SIGINT)
        process = popen(*words, **options)
        pids.append(process.pid)
        return process

    monkeypatch.setattr("outboard.frontend.program.subprocess.Popen", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:
        BackendProcess(DEAF)
    del caught
    gc.collect()
    assert pids and not exists(pids[0])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_program_that_nobody_ends_ends_with_its_parent():
    code = f"from outboard.frontend.program import Program; made = Program({DEAF[:-1]!r}); print(made.pid)"
    pid = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, timeout=60, check=True).stdout
    assert not exists(int(pid))


def test_a_program_that_was_never_connected_to_sees_the_end():
    backend = BackendProcess(["cat", "/dev/fd/{fd}"])
    backend.close()
    assert not backend.alive


def test_only_its_own_socket_is_inherited():
    ours, theirs = socket.socketpair()
    os.set_inheritable(theirs.fileno(), True)
    code = "import os, sys; print(*sorted(os.listdir('/proc/self/fd')), flush=True); os._exit(int(sys.argv[1]))"
    with BackendProcess([*PYTHON, code, "{fd}"]) as backend:
        fd = backend.wait(20)
        there = set(backend.last_words().split())
        assert {"0", "1", "2", str(fd)} <= there
        assert len(there) == 5, "and the folder that is listed"
    ours.close()
    theirs.close()
