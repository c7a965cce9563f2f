"""`outboard gpu serve` and `outboard-vhost-user-gpu` as processes: what they say, how they end."""

import contextlib
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from outboard.spec.virtio_gpu import Rect
from tests.backend.conftest import PATIENCE, Machine, Raw
from tests.gpu.rig import flush, req

TWIN = "from outboard.cli.main import vhost_user_gpu; import sys; sys.exit(vhost_user_gpu())"
SERVE = [sys.executable, "-m", "outboard", "gpu", "serve"]
CONVENTION = [sys.executable, "-c", TWIN]


class Process:
    """A started back-end. `line()` returns its next line on standard error."""

    def __init__(self, argv, **options):
        self.process = subprocess.Popen(argv, stderr=subprocess.PIPE, stdout=subprocess.PIPE, **options)
        self.text = b""

    def line(self):
        end = time.monotonic() + PATIENCE
        while b"\n" not in self.text:
            assert select.select([self.process.stderr], [], [], max(0, end - time.monotonic()))[0], "no line came"
            more = os.read(self.process.stderr.fileno(), 4096)
            assert more, f"ended: {self.text!r}"
            self.text += more
        line, _, self.text = self.text.partition(b"\n")
        return line.decode()

    def until(self, words):
        """Read lines until one contains `words`; return it."""
        while words not in (line := self.line()):
            pass
        return line

    def signal(self, number):
        self.process.send_signal(number)

    def end(self, number=None):
        """Wait for the end; return (exit code, the rest of standard error)."""
        if number is not None:
            self.signal(number)
        out, err = self.process.communicate(timeout=PATIENCE)
        assert out == b""
        return self.process.returncode, (self.text + err).decode()


@pytest.fixture
def start(folder):
    with contextlib.ExitStack() as stack:

        def run(argv, **options):
            made = Process(argv, cwd=folder, **options)
            stack.callback(lambda: made.process.kill() or made.process.communicate())
            return made

        yield run


@pytest.fixture
def serve(start):
    """`serve(*arguments)` starts the back-end and waits until it listens."""

    def run(*arguments, argv=SERVE, **options):
        made = start([*argv, *map(str, arguments)], **options)
        made.until("serving on")
        return made

    return run


def failure(*arguments, argv=SERVE, cwd=None, **options):
    """Run a command that must fail at once; return its words. There is never a traceback."""
    done = subprocess.run(
        [*argv, *map(str, arguments)], capture_output=True, text=True, timeout=PATIENCE, cwd=cwd, **options
    )
    assert done.returncode == 2, done
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    return done.stderr


def colours(path):
    """Return a PNG's size and its pixels as B, G, R, 0 bytes, as UPDATE would carry them."""
    with Image.open(path) as image:
        assert image.mode == "RGB"
        return image.size, image.tobytes("raw", "BGRX")


def without_x(picture):
    data = bytearray(picture)
    data[3::4] = bytes(len(data) // 4)
    return bytes(data)


# Life


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_takes_the_socket_file_along(serve, folder, number):
    process = serve("gpu.sock")
    assert (folder / "gpu.sock").is_socket()
    code, words = process.end(number)
    assert (code, words) == (0, "")
    assert not (folder / "gpu.sock").exists()


def test_a_signal_ends_it_while_a_front_end_is_connected(serve, folder):
    process = serve("gpu.sock")
    made = Machine(folder / "gpu.sock").start()
    made.sees(made.show())
    code, words = process.end(signal.SIGTERM)
    assert code == 0
    assert "Traceback" not in words
    made.close()


def test_one_front_end_follows_the_other(serve, folder):
    process = serve("gpu.sock")
    for number in (1, 2, 3):
        made = Machine(folder / "gpu.sock").start()
        made.sees(made.show())
        assert process.line() == f"outboard: front-end {number} connected"
        made.close()
        assert process.line() == "outboard: front-end left"
    assert process.end(signal.SIGTERM)[0] == 0


def test_once_ends_with_the_first_front_end(serve, folder):
    process = serve("gpu.sock", "--once")
    made = Machine(folder / "gpu.sock").start()
    made.sees(made.show())
    made.close()
    code, words = process.end()
    assert (code, words.splitlines()) == (0, ["outboard: front-end 1 connected", "outboard: front-end left"])
    assert not (folder / "gpu.sock").exists()


def test_a_peer_that_breaks_the_protocol_is_named_and_the_next_is_served(serve, folder):
    process = serve("gpu.sock")
    peer = Raw(folder / "gpu.sock")
    peer.message(1, flags=0)
    assert peer.ended()
    assert process.until("left") == (
        "outboard: front-end left: GET_FEATURES: expected flags with version 1 and no reply bit, got 0x0"
    )
    assert Raw(folder / "gpu.sock").alive()


@pytest.mark.parametrize("argv", [SERVE, CONVENTION])
def test_a_connected_fd_is_served_once(start, argv):
    ours, theirs = socket.socketpair()
    process = start([*argv, "--fd", str(theirs.fileno())], pass_fds=[theirs.fileno()])
    theirs.close()
    peer = Raw(sock=ours)
    assert peer.alive()
    peer.close()
    assert process.end()[0] == 0


def test_a_listening_fd_is_served_again_and_again(start, folder):
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(folder / "given.sock"))
    listener.listen()
    process = start([*SERVE, "--fd", str(listener.fileno())], pass_fds=[listener.fileno()])
    listener.close()
    for _ in range(3):
        peer = Raw(folder / "given.sock")
        assert peer.alive()
        peer.close()
    assert process.end(signal.SIGTERM)[0] == 0
    assert (folder / "given.sock").exists(), "whoever made the file removes it"


def test_the_convention_s_socket_path(serve, folder):
    for option in ("--socket-path=gpu.sock", "-sgpu.sock"):
        process = serve(option, argv=CONVENTION)
        assert Raw(folder / "gpu.sock").alive()
        assert process.end(signal.SIGTERM)[0] == 0


def test_refused_guest_commands_are_told_only_when_asked_for(serve, folder):
    for verbose in (False, True):
        process = serve("gpu.sock", *["--verbose"] * verbose)
        made = Machine(folder / "gpu.sock").start()
        made.code(req(0x777))
        made.close()
        assert process.line() == "outboard: front-end 1 connected"
        if verbose:
            assert process.line() == "outboard: guest command 0x777 refused with 0x1200"
        last = [process.line()]
        if last == ["outboard: display lost: closed by the front-end"]:  # when that is noticed before the end
            last.append(process.line())
        assert last[-1] == "outboard: front-end left"
        process.end(signal.SIGTERM)


def test_a_flood_of_mistakes_is_not_a_flood_of_lines(serve, folder):
    process = serve("gpu.sock", "--verbose")
    made = Machine(folder / "gpu.sock").start()
    for _ in range(200):
        made.code(req(0x777))
    made.close()
    process.until("left")
    _, words = process.end(signal.SIGTERM)
    assert words.count("refused") < 100


# Pictures


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_shot_on_exit_is_the_picture(serve, folder, number):
    process = serve("gpu.sock", "--shot", "screen.png")
    made = Machine(folder / "gpu.sock").start()
    picture = made.show()
    made.sees(picture)
    code, words = process.end(number)
    assert code == 0
    assert "outboard: wrote screen.png, 320x200" in words
    assert colours(folder / "screen.png") == ((320, 200), without_x(picture))
    made.close()


def test_the_shot_outlives_the_front_end(serve, folder):
    process = serve("gpu.sock", "--shot", "screen.png", "--once")
    made = Machine(folder / "gpu.sock").start()
    picture = made.show()
    made.sees(picture)
    made.close()
    assert process.end()[0] == 0
    assert colours(folder / "screen.png") == ((320, 200), without_x(picture))


def test_sigusr1_writes_the_picture_of_that_moment(serve, folder):
    process = serve("gpu.sock", "--shot", "screen.png")
    process.signal(signal.SIGUSR1)
    assert process.line() == "outboard: screen.png: not written, the guest has shown nothing"
    made = Machine(folder / "gpu.sock").start()
    for seed in (1, 2, 3):
        picture = made.show(seed=seed, resource_id=seed)
        made.sees(picture)
        process.signal(signal.SIGUSR1)
        process.until("wrote screen.png")
        assert colours(folder / "screen.png") == ((320, 200), without_x(picture))
        assert sorted(path.name for path in folder.iterdir()) == ["gpu.sock", "screen.png"], "no drafts are left"
    made.close()


def test_without_shot_sigusr1_is_harmless(serve, folder):
    process = serve("gpu.sock")
    process.signal(signal.SIGUSR1)
    assert Raw(folder / "gpu.sock").alive()
    assert process.end(signal.SIGTERM)[0] == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_in_an_iothread_all_is_the_same(serve, folder, number):
    process = serve("gpu.sock", "--iothread", "--shot", "screen.png")
    for seed in (1, 2):
        made = Machine(folder / "gpu.sock").start()
        picture = made.show(seed=seed)
        made.sees(picture)
        process.signal(signal.SIGUSR1)
        process.until("wrote screen.png")
        assert colours(folder / "screen.png") == ((320, 200), without_x(picture))
        made.close()
        process.until("front-end left")
    made = Machine(folder / "gpu.sock").start()
    picture = made.show(seed=3)
    made.sees(picture)
    code, words = process.end(number)
    assert code == 0
    assert "Traceback" not in words
    assert colours(folder / "screen.png") == ((320, 200), without_x(picture))
    assert not (folder / "gpu.sock").exists()
    made.close()


def test_in_an_iothread_it_ends_with_the_first_front_end_too(serve, folder):
    process = serve("gpu.sock", "--iothread", "--once")
    with contextlib.closing(Raw(folder / "gpu.sock")) as peer:
        assert peer.alive()
    assert process.end()[0] == 0
    assert failure("gpu.sock/x", "--iothread", cwd=folder).startswith("outboard: gpu.sock/x: ")


def test_every_output_has_its_file(serve, folder):
    process = serve("gpu.sock", "--shot", "s.png", "--outputs", "2", "--size", "160x100")
    made = Machine(folder / "gpu.sock", modes=((320, 200), (320, 200))).start()
    info = made.driver.get_display_info()
    assert info[24:72] == bytes.fromhex("00000000 00000000 a0000000 64000000 01000000 00000000" * 2)
    assert info[72:] == bytes(14 * 24)
    first, second = made.show(160, 100), made.show(80, 50, seed=2, resource_id=2, output=1)
    made.sees(second, output=1)
    process.signal(signal.SIGUSR1)
    assert process.until("wrote s.png") and process.until("wrote s-1.png")
    assert colours(folder / "s.png") == ((160, 100), without_x(first))
    assert colours(folder / "s-1.png") == ((80, 50), without_x(second))
    made.close()


def test_a_size_alone_is_one_output(serve, folder):
    serve("gpu.sock", "--size", "640x480")
    made = Machine(folder / "gpu.sock").start()
    assert made.driver.get_display_info()[24:48].hex() == "0000000000000000" + "80020000e0010000" + "0100000000000000"
    assert made.vmm.device_config().num_scanouts == 1
    made.close()


def test_outputs_alone_have_the_fallback_s_size(serve, folder):
    serve("gpu.sock", "--outputs", "3")
    made = Machine(folder / "gpu.sock").start()
    assert made.driver.get_display_info()[24 + 48 : 24 + 72].hex().startswith("00" * 8 + "0004000000030000" + "01")
    assert made.vmm.device_config().num_scanouts == 3
    made.close()


def test_the_memory_of_resources_is_limited_as_asked(serve, folder):
    serve("gpu.sock", "--max-hostmem", "1m")
    made = Machine(folder / "gpu.sock").start()
    assert made.code(req(0x101, "IIII", 1, 2, 512, 512)) == 0x1201
    made.driver.create_2d(1, 2, 256, 256)
    made.driver.set_scanout(0, 1, Rect(0, 0, 256, 256))
    assert made.code(flush(1, (0, 0, 256, 256))) == 0x1100
    made.close()


def test_nothing_to_write_at_the_end_is_a_failure(serve):
    process = serve("gpu.sock", "--shot", "screen.png")
    code, words = process.end(signal.SIGTERM)
    assert code == 2
    assert words == "outboard: screen.png: not written, the guest has shown nothing\n"


def test_a_folder_that_has_gone_is_told_at_the_end(serve, folder):
    (folder / "there").mkdir()
    process = serve("gpu.sock", "--shot", "there/screen.png")
    made = Machine(folder / "gpu.sock").start()
    made.sees(made.show())
    made.close()
    (folder / "there").rmdir()
    code, words = process.end(signal.SIGTERM)
    assert code == 2
    assert "outboard: there/screen.png: cannot write the picture: No such file or directory" in words
    assert "Traceback" not in words


# What cannot be


def test_a_stale_socket_file_is_replaced(serve, folder):
    stale = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    stale.bind(str(folder / "gpu.sock"))
    stale.close()
    serve("gpu.sock")
    assert Raw(folder / "gpu.sock").alive()


def test_a_killed_back_end_s_socket_file_is_replaced(serve, folder):
    first = serve("gpu.sock")
    assert first.end(signal.SIGKILL)[0] == -signal.SIGKILL
    assert (folder / "gpu.sock").is_socket()
    serve("gpu.sock")
    assert Raw(folder / "gpu.sock").alive()


def test_a_socket_in_use_is_left_alone(serve, folder):
    serve("gpu.sock")
    assert failure("gpu.sock", cwd=folder) == (
        "outboard: gpu.sock: another process listens there; stop it or choose another path\n"
    )
    assert Raw(folder / "gpu.sock").alive()


def test_a_file_in_the_way_is_left_alone(folder):
    (folder / "gpu.sock").write_text("precious")
    assert "exists and is no socket" in failure("gpu.sock", cwd=folder)
    assert (folder / "gpu.sock").read_text() == "precious"
    assert "exists and is no socket" in failure(folder)


def test_a_path_too_long_is_told(folder):
    long = "x" * 108
    assert failure(long, cwd=folder) == (
        f"outboard: {long}: socket paths have at most 107 bytes; choose a shorter one\n"
    )


def test_a_path_of_the_longest_length_is_served(serve, folder):
    path = "x" * (107 - len(str(folder)) - 1)
    serve(folder / path)
    assert Raw(folder / path).alive()


def test_folders_that_are_not_there_or_not_ours(folder):
    assert failure("nowhere/gpu.sock", cwd=folder) == (
        "outboard: nowhere/gpu.sock: cannot listen: No such file or directory\n"
    )
    (folder / "file").touch()
    assert "file/gpu.sock: Not a directory" in failure("file/gpu.sock", cwd=folder)
    assert re.search(r"cannot listen: (Operation not permitted|Permission denied)", failure("/sys/gpu.sock"))


def test_a_folder_without_permission(folder):
    if os.geteuid() == 0:
        # Root may write anywhere: become somebody else, once all is imported.
        program = (
            "import os, sys; import outboard.backend.device, outboard.backend.server; "
            "import outboard.cli.gpu, outboard.cli.log, outboard.cli.shots; "
            "from outboard.cli.main import main, parser; parser(); os.seteuid(65534); sys.exit(main(sys.argv[1:]))"
        )
        argv = [sys.executable, "-c", program, "gpu", "serve"]
    else:
        argv = SERVE
    folder.chmod(0o555)
    try:
        assert "Permission denied" in failure(folder / "gpu.sock", argv=argv)
    finally:
        folder.chmod(0o755)


@pytest.mark.parametrize("fd", ["-1", "999", "99999999999", "99999999999999999999999"])
def test_an_fd_that_is_not_open_is_told(fd):
    assert re.match(rf"outboard: fd {fd}: no socket: ", failure("--fd", fd))


def test_an_fd_that_is_no_unix_stream_socket_is_told():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams, open(os.devnull) as null:
        for sock, words in ((datagrams, "no UNIX stream socket"), (null, "no socket")):
            assert words in failure("--fd", sock.fileno(), pass_fds=[sock.fileno()])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "give either SOCKET or --fd N"),
        (["gpu.sock", "--fd", "3"], "give either SOCKET or --fd N"),
        (["gpu.sock", "more"], "unrecognized arguments"),
        (["--fd", "three"], "invalid int value"),
        (["gpu.sock", "--size", "1280"], "write WIDTHxHEIGHT"),
        (["gpu.sock", "--size", "0x0"], "write WIDTHxHEIGHT"),
        (["gpu.sock", "--size", "-1x5"], "argument --size"),
        (["gpu.sock", "--size", "16385x16"], "1 to 16384"),
        (["gpu.sock", "--outputs", "0"], "1 to 16"),
        (["gpu.sock", "--outputs", "17"], "1 to 16"),
        (["gpu.sock", "--outputs", "two"], "1 to 16"),
        (["gpu.sock", "--max-hostmem", "0"], "no amount of memory"),
        (["gpu.sock", "--max-hostmem", "lots"], "no amount of memory"),
        (["gpu.sock", "--max-hostmem", "-5M"], "--max-hostmem"),
        (["gpu.sock", "--max-hostmem", "99999999999G"], "no amount of memory"),
        (["gpu.sock", "--shot", "nowhere/screen.png"], "folder nowhere does not exist"),
        (["gpu.sock", "--shot", "."], "is a folder"),
        (["gpu.sock", "--shot", "/"], "is a folder"),
        (["gpu.sock", "--nonsense"], "--nonsense"),
    ],
)
def test_bad_arguments_are_told_and_nothing_is_left_behind(folder, arguments, words):
    assert words in failure(*arguments, cwd=folder)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("argv", [SERVE, CONVENTION])
def test_capabilities_are_printed_whatever_else_is_said(argv):
    for more in ([], ["--fd", "3"]):
        done = subprocess.run([*argv, "--print-capabilities", *more], capture_output=True, text=True, timeout=PATIENCE)
        assert (done.returncode, done.stderr) == (0, "")
        assert json.loads(done.stdout) == {"type": "gpu", "features": []}


def test_the_descriptor_names_the_installed_program():
    scripts = str(Path(sys.executable).parent)
    program = shutil.which("outboard-vhost-user-gpu", path=scripts)
    assert program, f"the package is not installed in {scripts}"
    done = subprocess.run(
        [*SERVE, "--print-descriptor"], capture_output=True, text=True, timeout=PATIENCE, env={"PATH": scripts}
    )
    assert (done.returncode, done.stderr) == (0, "")
    about = json.loads(done.stdout)
    assert (about["type"], about["binary"]) == ("gpu", program)
    assert about["description"]
    assert "not on the PATH" in failure("--print-descriptor", env={"PATH": "/nonexistent"})


@pytest.mark.parametrize("argv", [SERVE, CONVENTION, SERVE[:3], SERVE[:4]])
def test_help_is_there(argv):
    done = subprocess.run([*argv, "--help"], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0
    assert "usage:" in done.stdout
