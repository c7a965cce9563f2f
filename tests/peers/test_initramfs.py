"""The archive of the test guest: bytes of the format, order of the modules."""

from __future__ import annotations

import gzip
import stat
from pathlib import Path

import pytest

from tests.peers import initramfs
from tests.peers.debian import PeerError
from tests.peers.initramfs import Entry

# typed from the kernel's buffer-format document: "a" with mode 0100644, 5 bytes "hello", then the trailer
HELLO = (
    b"070701" b"00000001" b"000081A4" b"00000000" b"00000000" b"00000001" b"00000000" b"00000005"
    b"00000000" b"00000000" b"00000000" b"00000000" b"00000002" b"00000000" b"a\0" b"hello\0\0\0"
    b"070701" b"00000000" b"00000000" b"00000000" b"00000000" b"00000001" b"00000000" b"00000000"
    b"00000000" b"00000000" b"00000000" b"00000000" b"0000000B" b"00000000" b"TRAILER!!!\0" b"\0\0\0"
)  # fmt: skip


def test_cpio() -> None:
    assert initramfs.cpio([Entry("a", stat.S_IFREG | 0o644, b"hello")]) == HELLO


def fake_modules(tmp_path: Path, **depends: str) -> Path:
    """A module folder whose files say what they need, as `modinfo` would."""
    (tmp_path / "kernel/drivers").mkdir(parents=True)
    (tmp_path / "modules.builtin").write_text("kernel/lib/built-in.ko\n")
    for name, needed in depends.items():
        (tmp_path / f"kernel/drivers/{name}.ko").write_bytes(b"\x7fELF\0license=GPL\0depends=%b\0" % needed.encode())
    return tmp_path


def test_a_module_comes_after_what_it_needs(tmp_path: Path) -> None:
    modules = fake_modules(tmp_path, top="left,right,built-in", left="base-line", right="base_line", alone="")
    (modules / "kernel/drivers/base-line.ko").write_bytes(b"\0depends=\0")
    order = [path.stem for path in initramfs.load_order(modules, ["top", "base-line"])]
    assert order == ["base-line", "left", "right", "top"]


def test_a_module_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PeerError, match=r"no module 'gone' in .*, neither as a file nor built in"):
        initramfs.load_order(fake_modules(tmp_path, top="gone"), ["top"])


def test_no_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTBOARD_PEERS", str(tmp_path))
    with pytest.raises(PeerError, match=r"no kernel for ppc64le in .*; run python3 tests/peers/fetch.py"):
        initramfs.kernel("ppc64le")


@pytest.fixture
def fake_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache with a kernel that has one module."""
    root = tmp_path / "cache/linux-amd64"
    fake_modules(root / "lib/modules/6.1.0", virtio_gpu="")
    for name in ("boot/vmlinuz-6.1.0", "bin/busybox"):
        (root / name).parent.mkdir()
        (root / name).write_bytes(b"program")
    monkeypatch.setenv("OUTBOARD_PEERS", str(tmp_path / "cache"))


@pytest.mark.usefixtures("fake_kernel")
def test_build_gives_the_same_bytes_again(tmp_path: Path) -> None:
    first, second = (
        initramfs.build("amd64", tmp_path / name, ["virtio-gpu"], {"/opt/x/y": b"extra"}) for name in ("a.gz", "b.gz")
    )
    assert first.read_bytes() == second.read_bytes()
    archive = gzip.decompress(first.read_bytes())
    members = [
        b"etc\0",
        b"lib\0",
        b"opt\0",
        b"opt/x\0",
        b"init\0",
        b"bin/busybox\0",
        b"opt/x/y\0",
        b"etc/modules.order\0",
    ]
    places = [archive.find(name) for name in members]
    assert all(place > 0 for place in places) and places[2] < places[3] < places[6]
    assert b"/lib/virtio_gpu.ko\n" in archive
