"""`outboard xive shell`: from pipes and scripts, and at a terminal."""

import os
import pty
import select
import signal
import subprocess
import sys
import time

import pytest

from tests.cli.xive_rig import PATIENCE, SHELL

# Pipes and scripts


def run(text, *arguments, code=0, **options):
    done = subprocess.run(
        [*SHELL, *map(str, arguments)], input=text, capture_output=True, timeout=PATIENCE, text=True, **options
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == code, done
    return done


def test_a_pipe():
    done = run("setup\n\n# nothing\ntrace off\ntrigger 1\nquit\nbogus\n", "--cpus", "2")
    assert done.stdout.splitlines()[-5:] == [
        "xive> trace off",
        "trace off",
        "xive> trigger 1",
        "  cpu 1: external interrupt raised",
        "xive> quit",
    ]
    assert done.stderr == ""


def test_mistakes_in_a_pipe_are_told_and_the_rest_is_done():
    done = run("bogus\ncpu 0 irq\ntrigger 0x2000", code=1)
    assert done.stdout.splitlines()[1:3] == ["xive> cpu 0 irq", "external interrupt low"]
    assert done.stderr.splitlines() == [
        "outboard: line 1: no command 'bogus'; `help` lists them",
        "outboard: line 3: LISN 0x2000 does not exist; there are 0 to 0x1fff",
    ]


def test_bytes_that_are_no_text():
    done = subprocess.run(SHELL, input=b"\xff\xfe\ntrigger \xc3\0\n", capture_output=True, timeout=PATIENCE)
    assert done.returncode == 1 and b"Traceback" not in done.stderr
    assert done.stderr.count(b"\n") == 2


def test_a_script(tmp_path):
    (tmp_path / "s").write_text("setup\ntrigger 0\n")
    done = run("bogus", "--script", "s", cwd=tmp_path)
    assert done.stdout.endswith("  cpu 0: external interrupt raised\n")
    (tmp_path / "s").write_text("setup\ntriger 0\n")
    assert "line 2: no command 'triger'; did you mean trigger?" in run("", "--script", "s", cwd=tmp_path, code=1).stderr
    assert "s2: cannot be read: No such file" in run("", "--script", "s2", cwd=tmp_path, code=2).stderr
    assert ".: cannot be read: Is a directory" in run("", "--script", ".", cwd=tmp_path, code=2).stderr


def test_no_input_at_all():
    argv = ["sh", "-c", 'exec "$@" <&-', "sh", *SHELL]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 2
    assert done.stderr == "outboard: there is no standard input; give the commands with --script FILE\n"


def test_a_reader_that_leaves():
    done = subprocess.run(["sh", "-c", f"{' '.join(SHELL)} | head -1"], input=b"pic\n" * 500, capture_output=True)
    assert b"Traceback" not in done.stderr


def test_the_flavour_and_the_host_show():
    line = "hcall esb 0 0x1200 0x800\n"
    assert "  data  0x100000000000000\n" in run(line).stdout
    assert "  data  0x1\n" in run(line, "--host-byteorder", "big").stdout
    assert "  data  0x1\n" in run(line, "--flavour", "papr").stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--cpus", "0"], "'0' is not 1 to 4096"),
        (["--cpus", "9999"], "'9999' is not 1 to 4096"),
        (["--cpus", "two"], "'two' is not 1 to 4096"),
        (["--cpus", "-1"], "--cpus"),
        (["--cpus", "9" * 5000], "is not 1 to 4096"),
        (["--cpus", "4", "--max-cpus", "2"], "needs 1 <= cpus <= max_cpus"),
        (["--max-cpus", "1024", "--vsmt", "8"], "max_cpus * vsmt <= 4096"),
        (["--vsmt", "0"], "is not 1 to 4096"),
        (["--flavour", "qemu-9"], "qemu-7.2"),
        (["--host-byteorder", "middle"], "little"),
        (["more"], "unrecognized"),
    ],
)
def test_bad_arguments(arguments, words):
    done = run("", *arguments, code=2)
    assert words in done.stderr and done.stdout == ""


def test_help_of_the_commands():
    for more in ([], ["shell"]):
        done = subprocess.run([*SHELL[:4], *more, "--help"], capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 0 and "example:" in done.stdout


def test_the_tree_of_commands_does_not_load_the_controller():
    show = "import sys; from outboard.cli.main import parser; parser(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, check=True).stdout.split()
    assert not [name for name in loaded if name.startswith(("outboard.spapr", "outboard.xive", "outboard.machine"))]


# At a terminal


class Terminal:
    """The shell with a terminal of its own."""

    def __init__(self, *argv):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ["TERM"] = "dumb"
            os.execv(argv[0], argv)
        self.text = ""

    def interrupt(self):
        """Press Ctrl-C until there is a prompt: Python does not see one that comes just before it begins to wait."""
        for _ in range(PATIENCE):
            self.type("\x03")
            if select.select([self.fd], [], [], 0.5)[0]:
                time.sleep(0.1)  # "^C" itself comes at once, the prompt a moment later
                self.text += os.read(self.fd, 4096).decode()
            if "xive> " in self.text:
                break
        self.until("xive> ")

    def until(self, words):
        """Read until `words` came; return all up to them."""
        end = time.monotonic() + PATIENCE
        while words not in self.text:
            assert select.select([self.fd], [], [], max(0, end - time.monotonic()))[0], f"only {self.text!r} came"
            try:
                self.text += os.read(self.fd, 4096).decode()
            except OSError:
                raise AssertionError(f"ended after {self.text!r}") from None
        before, _, self.text = self.text.partition(words)
        return before

    def type(self, keys):
        os.write(self.fd, keys.encode())

    def code(self):
        """Wait for the end; return the exit code. What still comes is read, as a terminal does."""
        while True:
            try:
                if not os.read(self.fd, 4096):
                    break
            except OSError:
                break
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self.fd)
        self.pid = 0
        return code

    def kill(self):
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            self.code()


@pytest.fixture
def terminal():
    made = []

    def start(*argv):
        made.append(Terminal(*argv))
        return made[-1]

    yield start
    for one in made:
        one.kill()


def test_a_session_at_a_terminal(terminal):
    pytest.importorskip("readline", reason="this Python has no readline")
    shell = terminal(*SHELL, "--cpus", "2")
    assert "2 CPUs, as qemu-7.2 has it" in shell.until("xive> ")
    shell.type("setu\t\n")
    shell.until("setup")
    assert "cpu 1, target 1: queue" in shell.until("xive> ")
    shell.type("trace off\n")
    shell.until("xive> ")
    shell.type("trig\t0x\t\t")  # the second Tab lists what there is
    assert "trigger" in shell.until("0x1200")
    shell.until("xive> ")
    shell.type("1\n")
    assert "cpu 1: external interrupt raised" in shell.until("xive> ")
    shell.type("hcall get_queue_c\ttarg\t1 pri\t6\n")
    assert "get_queue_config target=1 priority=6" in shell.until("H_SUCCESS")
    assert "0x1010000" in shell.until("xive> ")
    shell.type("bogus\n")
    assert "no command 'bogus'" in shell.until("xive> ")
    shell.type("undo\n")
    assert "undone: trigger 0x1" in shell.until("xive> ")
    shell.type("half a li")
    shell.until("half a li")  # readline 8.2 waits for a key if the rest of what was typed is flushed under it
    shell.interrupt()
    shell.type("\n")
    shell.until("xive> ")
    shell.type("\x04")
    assert shell.code() == 0


def test_a_terminal_without_readline(terminal):
    program = (
        "import sys; sys.modules['readline'] = None; "
        "from outboard.cli.main import main; sys.exit(main(['xive', 'shell']))"
    )
    shell = terminal(sys.executable, "-c", program)
    assert "1 CPU, as" in shell.until("xive> ")
    shell.type("cpu 0 irq\n")
    assert "external interrupt low" in shell.until("xive> ")
    shell.interrupt()
    shell.type("quit\n")
    assert shell.code() == 0
