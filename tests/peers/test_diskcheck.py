"""The guest's checker of disks, on files of this machine: it finds nothing wrong in a sound one, and every fault."""

import os
import shutil
import signal
import subprocess
import time

import pytest

from tests.peers.initramfs import GUEST

BLOCKS, BLOCK = 512, 4096
PATIENCE_S = 20
FAULTS = ("a byte flips", "an old write comes back", "a block goes elsewhere", "a write gets lost")


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The checker, compiled."""
    if not shutil.which("gcc"):
        why = "gcc is not installed; apt-get install gcc libc6-dev linux-libc-dev"
        if os.environ.get("OUTBOARD_REQUIRE_PEERS") == "1":
            pytest.fail(f"OUTBOARD_REQUIRE_PEERS=1, but {why}", pytrace=False)
        pytest.skip(why)
    made = tmp_path_factory.mktemp("diskcheck") / "diskcheck"
    subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", made, GUEST / "diskcheck.c"], check=True)
    return made


class Running:
    """A checker at work on a file of zeros."""

    def __init__(self, program, folder, depth=8):
        self.disk, self.counter = folder / "disk", folder / "progress"
        self.disk.write_bytes(bytes(BLOCKS * BLOCK))
        words = [program, self.disk, "0", str(BLOCKS), str(depth), "3", self.counter]
        self.process = subprocess.Popen([str(word) for word in words], stdout=subprocess.PIPE, text=True)

    def works(self, requests):
        """Wait until so many requests are done."""
        end = time.monotonic() + PATIENCE_S
        while self.process.poll() is None and not (self.counter.exists() and int(self.counter.read_text()) >= requests):
            assert time.monotonic() < end, "the checker does not get on"
            time.sleep(0.01)

    def ends(self):
        """Return its exit code and what it said."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S), self.process.stdout.read()


@pytest.fixture
def running(program, tmp_path):
    one = Running(program, tmp_path)
    yield one
    one.process.kill()
    one.process.wait()
    one.process.stdout.close()


def test_a_sound_disk(running):
    running.works(2000)
    code, said = running.ends()
    assert code == 0 and said.startswith("diskcheck: ") and said.endswith(", all right\n")
    reads, writes, flushes, zeroed, given_up = (int(word) for word in said.split() if word.isdigit())
    assert reads > 500 and writes > 500 and flushes and zeroed and given_up
    assert sum((reads, writes, flushes, zeroed, given_up)) == int(running.counter.read_text())


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(running, fault):
    running.works(1000)
    running.process.send_signal(signal.SIGSTOP)
    with running.disk.open("r+b") as disk:
        blocks = [disk.read(BLOCK) for _ in range(BLOCKS)]
        written = [at for at, data in enumerate(blocks) if any(data)]
        wrong = {
            "a byte flips": lambda data, at: data[:-1] + bytes((data[-1] ^ 1,)),
            "an old write comes back": lambda data, at: data[:16] + bytes((data[16] ^ 1,)) + data[17:],
            "a block goes elsewhere": lambda data, at: blocks[written[written.index(at) - 1]],
            "a write gets lost": lambda data, at: bytes(BLOCK),
        }[fault]
        for at in written:
            disk.seek(BLOCK * at)
            disk.write(wrong(blocks[at], at))
    running.process.send_signal(signal.SIGCONT)
    code, said = running.ends()
    assert code == 1 and said.startswith("diskcheck: WRONG: ") and "all right" not in said
