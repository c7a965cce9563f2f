"""`outboard check frontend` on QEMU 7.2 and 10: the known deviations and no others, and what the probes show."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from outboard.conformance.frontend.pictures import HEIGHT, WIDTH, show, update
from outboard.conformance.frontend.questions import still_answers
from outboard.conformance.frontend.session import Session
from outboard.conformance.frontend.stage import Stage
from outboard.conformance.known import FRONT_ENDS, QEMU_7, QEMU_10
from outboard.qemu import Qmp
from outboard.spec.vhost_user_gpu import Req, Scanout
from tests.peers import initramfs
from tests.peers.patterns import Picture, read_ppm

pytestmark = pytest.mark.alike

ROOT = Path(__file__).parents[2]
NOT_OFFERED = {"front.edid", "front.dmabuf.scanout2"}
"""What QEMU 7.2 cannot be asked."""
UNDEFINED = "front.hostile.short-"
"""QEMU 7.2 reads behind a payload that is too short: what it finds there decides whether it goes on."""
COLOUR = bytes((0xC0, 0x80, 0x40))
"""RGB of what `update` paints."""


@pytest.fixture(params=["10", "7.2"])
def version(request: pytest.FixtureRequest) -> str:
    """QEMU 10 needs nothing; 7.2 has vhost-user-gpu under KVM only and is skipped where that is not."""
    if request.param == "10":
        request.getfixturevalue("qemu_10_x86")
    else:
        request.getfixturevalue("kvm")
        request.getfixturevalue("qemu_7_x86")
    return request.param


def program(*words: object) -> list[str]:
    """The command that is QEMU."""
    return [sys.executable, "-m", "tests.qemu.frontend_program", "{socket}", *map(str, words)]


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have programs find `tests`."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)


def check(*words: str) -> dict[str, Any]:
    """Run the command; its report."""
    command = [sys.executable, "-m", "outboard", "check", "frontend", "--json", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode in (0, 1) and not done.stderr, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def with_status(report: dict[str, Any], status: str) -> dict[str, dict[str, Any]]:
    """The checks that ended so, by id."""
    return {one["id"]: one for one in report["checks"] if one["status"] == status}


@pytest.mark.timeout(300)
def test_the_known_deviations_and_no_others(version: str) -> None:
    peer = QEMU_10 if version == "10" else QEMU_7
    report = check("--hostile", "--timeout", "3", "--", *program(version))
    failed = with_status(report, "fail")
    known = {row.check for row in FRONT_ENDS if row.peer == peer}
    assert {one for one in failed if version == "10" or not one.startswith(UNDEFINED)} == known, failed
    assert all(peer in failed[one]["known"] for one in known)
    assert "SIGSEGV" in failed["front.hostile.update-first"]["got"]
    assert "SIGSEGV" in failed["front.hostile.update-disabled"]["got"]
    skipped = set(with_status(report, "skip")) - {"front.picture.shown", "front.memory.removed"}
    if version == "10":
        assert not skipped
    else:
        assert skipped and all(any(one.startswith(part) for part in NOT_OFFERED) for one in skipped)


@pytest.mark.timeout(300)
def test_a_guest_that_boots(initrd: Callable[[str], Path], qemu_10_x86: object) -> None:
    """A Debian guest behind the checks, not a script: the same deviations, of those that need no --hostile."""
    report = check("--", *program("10", initramfs.kernel("amd64").image, initrd("amd64")))
    known = {row.check for row in FRONT_ENDS if row.peer == QEMU_10 and ".hostile." not in row.check}
    assert set(with_status(report, "fail")) == known
    assert "front.config.range" not in with_status(report, "skip")


@pytest.fixture
def stage(version: str) -> Iterator[Stage]:
    """A kit whose front-end is QEMU without a guest."""
    with closing(Stage(None, program(version), 10, hostile=False)) as stage:
        yield stage


def screen(stage: Stage, session: Session, folder: Path) -> Picture:
    """What the screendump of the QEMU that runs now shows. QEMU may wait for us meanwhile, so it is served."""
    newest = max(stage.path.parent.glob("qemu-*/qmp.sock"), key=lambda path: path.stat().st_mtime_ns)

    def dump() -> Picture:
        with closing(Qmp(newest)) as qmp:
            return read_ppm(qmp.screendump(folder / "shot.ppm", format="ppm"))

    with ThreadPoolExecutor(1) as pool:
        dumped = pool.submit(dump)
        dumped.add_done_callback(lambda _: stage.loop.call_threadsafe(session.changed))
        session.run(dumped.done, 60)
        return dumped.result()


def test_what_the_probes_show_is_on_the_screen(stage: Stage, tmp_path: Path) -> None:
    session = stage.running()
    show(session)
    still_answers(stage, session, "UPDATE")
    assert screen(stage, session, tmp_path) == Picture(WIDTH, HEIGHT, COLOUR * (WIDTH * HEIGHT))


def test_what_is_outside_a_scanout_is_not_on_the_screen(stage: Stage, tmp_path: Path) -> None:
    """The scanout is black where nothing was painted; a rectangle over its corner is cut."""
    session = stage.running()
    session.tell(Req.SCANOUT, Scanout(0, 40, 30))
    update(session, 36, 28, 16, 16)
    still_answers(stage, session, "UPDATE outside the scanout")
    black, cut = bytes(3 * 40), bytes(3 * 36) + COLOUR * 4
    assert screen(stage, session, tmp_path) == Picture(40, 30, black * 28 + cut * 2)


@pytest.mark.timeout(300)
def test_the_guests_picture_comes_back(initrd: Callable[[str], Path], qemu_10_x86: object, tmp_path: Path) -> None:
    """While checks probe, the guest's pictures are held back; afterwards they are shown again."""
    argv = program("10", initramfs.kernel("amd64").image, initrd("amd64"))
    with closing(Stage(None, argv, 10, hostile=False)) as stage:
        session = stage.running()
        output = session.device.gpu.scanouts[0]
        assert session.run(lambda: output.width, 60), "the guest's console"
        show(session)
        still_answers(stage, session, "UPDATE")
        assert (screen(stage, session, tmp_path).width, output.width) == (WIDTH, 1280)
        session.release()
        assert session.run(lambda: told(session, Req.UPDATE, 1280), 10), "the guest's picture"
        still_answers(stage, session, "the guest's picture")
        shown = screen(stage, session, tmp_path)
        assert (shown.width, shown.height) == (1280, 800) and any(shown.rgb), "a console with text"


def told(session: Session, request: Req, width: int) -> bool:
    """Whether the last message with a picture is as wide as that."""
    pictures = [said for said in session.record if said.socket == "display" and said.request == request]
    return bool(pictures) and int.from_bytes(pictures[-1].payload[12:16], "little") == width
