"""Initramfs for a test guest: busybox, init, kernel modules in load order, extra files.

    python3 tests/peers/initramfs.py amd64|ppc64le OUT.gz [GUEST_PATH=FILE ...]

Documents: Linux, driver-api/early-userspace/buffer-format (the "newc" cpio archive);
gzip is RFC 1952; a module's `depends=` is MODULE_INFO, linux/module.h.
The result is the same bytes for the same input.

Modelled: folders, files, symbolic links, device nodes, uncompressed modules.
Not modelled: hard links, owners other than root, times, compressed modules, soft dependencies.
"""

from __future__ import annotations

import gzip
import re
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

if __name__ == "__main__":  # run by its path: the sibling is found from the repository's root
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.peers.debian import PeerError
from tests.peers.fetch import LINUX_AMD64, LINUX_PPC64LE, cache_dir

GUEST = Path(__file__).with_name("guest")
SCREEN_MODULES = ("virtio_pci", "virtio_gpu", "virtio_input", "evdev")
PEER_OF = {"amd64": LINUX_AMD64, "ppc64le": LINUX_PPC64LE}


@dataclass(frozen=True)
class Kernel:
    """A fetched Debian kernel and the busybox that goes with it."""

    image: Path
    modules: Path
    """Folder `lib/modules/RELEASE`."""
    busybox: Path


def kernel(arch: str) -> Kernel:
    """The fetched kernel for `amd64` or `ppc64le`. Raises PeerError when it was not fetched."""
    root = cache_dir() / PEER_OF[arch].name
    image = next(root.glob("boot/vmlinu?-*"), None)
    modules = next(root.glob("lib/modules/*"), None)
    if not image or not modules:
        raise PeerError(f"no kernel for {arch} in {root}; run python3 tests/peers/fetch.py")
    return Kernel(image, modules, root / "bin/busybox")


# -- modules ------------------------------------------------------------------


def module_name(path: str | Path) -> str:
    """`virtio_gpu` for `…/virtio-gpu.ko`: the name the kernel uses."""
    return PurePosixPath(path).stem.replace("-", "_")


def depends(module: bytes) -> list[str]:
    """Names of the modules that a module file says it needs."""
    found = re.search(rb"\0depends=([^\0]*)\0", module)
    return [name.replace("-", "_") for name in found[1].decode().split(",") if name] if found else []


def load_order(modules: Path, wanted: Iterable[str]) -> list[Path]:
    """Module files of `wanted` and of all they need, each after what it needs itself.

    What is built into the kernel is left out. Raises PeerError for a name that is neither.
    """
    files = {module_name(path): path for path in (modules / "kernel").rglob("*.ko")}
    builtin = {module_name(line) for line in (modules / "modules.builtin").read_text().splitlines()}
    order: dict[str, Path] = {}

    def visit(name: str) -> None:
        if name in order or name in builtin:
            return
        if name not in files:
            raise PeerError(f"no module {name!r} in {modules}, neither as a file nor built in")
        for needed in depends(files[name].read_bytes()):
            visit(needed)
        order[name] = files[name]

    for name in wanted:
        visit(module_name(f"{name}.ko"))
    return list(order.values())


# -- the archive --------------------------------------------------------------


@dataclass(frozen=True)
class Entry:
    """One member of a cpio archive; `mode` holds type and permissions, `rdev` a device's numbers."""

    name: str
    mode: int
    data: bytes = b""
    rdev: tuple[int, int] = (0, 0)


def folder(name: str) -> Entry:
    """A folder anyone may read."""
    return Entry(name, stat.S_IFDIR | 0o755)


def program(name: str, data: bytes) -> Entry:
    """A file that can be run."""
    return Entry(name, stat.S_IFREG | 0o755, data)


def member(number: int, entry: Entry) -> bytes:
    """The bytes of one member: header, name and data, each padded to 4 bytes."""
    name = entry.name.encode() + b"\0"
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    # ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
    fields = (number, entry.mode, 0, 0, links, 0, len(entry.data), 0, 0, *entry.rdev, len(name), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields)
    return padded(header + name) + padded(entry.data)


def padded(data: bytes) -> bytes:
    """`data` with zeros up to a multiple of 4."""
    return data + bytes(-len(data) % 4)


def cpio(entries: Iterable[Entry]) -> bytes:
    """A cpio archive in "newc" form."""
    members = [member(number, entry) for number, entry in enumerate(entries, 1)]
    return b"".join([*members, member(0, Entry("TRAILER!!!", 0))])


def guest_entries(peer: Kernel, modules: Sequence[str], files: Mapping[str, bytes]) -> Iterator[Entry]:
    """The members of a test guest's archive, folders before what is in them."""
    order = load_order(peer.modules, modules)
    inside = {"etc/guest.sh": (GUEST / "guest.sh").read_bytes()}
    inside |= {f"lib/{path.name}": path.read_bytes() for path in order}
    inside["etc/modules.order"] = "".join(f"/lib/{path.name}\n" for path in order).encode()
    inside |= {name.lstrip("/"): data for name, data in files.items()}
    parents = {str(parent) for name in inside for parent in PurePosixPath(name).parents} - {"."}
    yield from map(folder, sorted(parents | {"bin", "dev"}))
    # without it the kernel has no standard output for init before /dev is mounted
    yield Entry("dev/console", stat.S_IFCHR | 0o600, rdev=(5, 1))
    yield program("bin/busybox", peer.busybox.read_bytes())
    yield Entry("bin/sh", stat.S_IFLNK | 0o777, b"busybox")
    yield program("init", (GUEST / "init").read_bytes())
    yield from (program(name, data) for name, data in sorted(inside.items()))


def build(
    arch: str,
    out: Path,
    modules: Sequence[str] = SCREEN_MODULES,
    files: Mapping[str, bytes] | None = None,
) -> Path:
    """Write the initramfs for `amd64` or `ppc64le` to `out` and return `out`.

    files: more files by their path in the guest; all of them can be run.
    Raises PeerError when the kernel was not fetched or lacks a module.
    """
    archive = cpio(guest_entries(kernel(arch), modules, files or {}))
    out.write_bytes(gzip.compress(archive, compresslevel=1, mtime=0))
    return out


def main(argv: Sequence[str]) -> int:
    """Command line; see the module's text."""
    if len(argv) < 2 or argv[0] not in PEER_OF:
        print(__doc__, file=sys.stderr)
        return 2
    extra = dict(word.split("=", 1) for word in argv[2:])
    try:
        out = build(argv[0], Path(argv[1]), files={name: Path(file).read_bytes() for name, file in extra.items()})
    except (PeerError, OSError) as error:
        print(f"initramfs: {error}", file=sys.stderr)
        return 1
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB, kernel {kernel(argv[0]).image}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
