"""Fetch the real peers: QEMU 7.2 and 10, Debian kernels for two architectures.

    python3 tests/peers/fetch.py             unpack what is missing into the cache
    python3 tests/peers/fetch.py --install   also install missing Debian packages
    python3 tests/peers/fetch.py --check     only tell what is missing

Nothing of the system changes but what `--install` installs: apt runs with lists,
cache and status of its own, and fetched packages are unpacked, never installed.
The cache is `$OUTBOARD_PEERS`, else `$XDG_CACHE_HOME/outboard/peers`, else
`~/.cache/outboard/peers`. Exit code 0 when all is there, 1 when something is not.

Documents: dpkg-deb(1); debian.py has apt's.
Standard library only, so that it runs before anything is installed.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":  # run by its path: the sibling is found from the repository's root
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.peers.debian import BACKPORTS, PeerError, PrivateApt, install, missing_packages, run, say

RECEIPT = "peer.json"


@dataclass(frozen=True)
class Peer:
    """One folder of the cache: Debian packages unpacked on top of each other."""

    name: str
    packages: tuple[str, ...]
    """Names; `linux-image-6.1.*-SUFFIX` stands for the newest 6.1 kernel."""
    proof: tuple[str, ...]
    """Globs under the folder, each of which must find something."""
    arch: str = ""
    """Debian architecture; empty: this machine's."""
    backports: bool = False


QEMU_10 = Peer(
    "qemu-10",
    (
        "qemu-system-x86",
        "qemu-system-ppc",
        "qemu-system-common",
        "qemu-system-data",
        "qemu-system-gui",
        "seabios",
    ),
    (
        "usr/bin/qemu-system-x86_64",
        "usr/bin/qemu-system-ppc64",
        "usr/share/seabios/bios-256k.bin",
        "usr/lib/*/qemu/*.so",
    ),
    backports=True,
)
LINUX_AMD64 = Peer(
    "linux-amd64",
    ("linux-image-6.1.*-amd64", "busybox-static"),
    ("boot/vmlinuz-*", "lib/modules/*/kernel", "bin/busybox"),
    arch="amd64",
)
LINUX_PPC64LE = Peer(
    "linux-ppc64le",
    ("linux-image-6.1.*-powerpc64le", "busybox-static"),
    ("boot/vmlinux-*", "lib/modules/*/kernel", "bin/busybox"),
    arch="ppc64el",
)
PEERS = (QEMU_10, LINUX_AMD64, LINUX_PPC64LE)


def cache_dir() -> Path:
    """Folder of the unpacked peers; may not exist yet."""
    if own := os.environ.get("OUTBOARD_PEERS"):
        return Path(own).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "outboard" / "peers"


def missing_proof(peer: Peer, root: Path) -> list[str]:
    """The globs of `peer.proof` that find nothing under `root`."""
    return [glob for glob in peer.proof if next(root.glob(glob), None) is None]


def is_fetched(peer: Peer) -> bool:
    """True when the cache holds `peer`, whole and of today's recipe."""
    root = cache_dir() / peer.name
    try:
        receipt = json.loads((root / RECEIPT).read_text())
    except (OSError, ValueError):
        return False
    return bool(receipt.get("recipe") == list(peer.packages) and not missing_proof(peer, root))


# -- the unpacked peers -------------------------------------------------------


@contextmanager
def locked(cache: Path) -> Iterator[None]:
    """One fetch at a time; leftovers of an interrupted one are swept first."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left in cache.glob(".tmp-*"):
            shutil.rmtree(left, ignore_errors=True)
        yield


def unpack(debs: Sequence[Path], root: Path, peer: Peer) -> dict[str, str]:
    """Unpack `debs` into `root`; package versions by name."""
    versions = {}
    for deb in debs:
        run("dpkg-deb", "-x", deb, root)
        package, version = run("dpkg-deb", "-W", "--showformat=${Package} ${Version}", deb).split()
        versions[package] = version
    (root / RECEIPT).write_text(json.dumps({"recipe": peer.packages, "versions": versions}, indent=1))
    return versions


def fetch(peer: Peer) -> None:
    """Put `peer` into the cache; it appears there whole or not at all. Raises PeerError."""
    started = time.monotonic()
    final = cache_dir() / peer.name
    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=final.parent) as home:
        root = Path(home) / "root"
        say(peer.name, "reading Debian's package lists")
        apt = PrivateApt(Path(home) / "apt", peer.arch, peer.backports)
        names = [apt.newest(package) for package in peer.packages]
        say(peer.name, f"downloading {' '.join(names)}")
        debs = apt.download([f"{n}/{BACKPORTS}" if peer.backports else n for n in names], Path(home) / "debs")
        say(peer.name, f"unpacking {sum(deb.stat().st_size for deb in debs) / 1e6:.0f} MB")
        versions = unpack(debs, root, peer)
        if lacking := missing_proof(peer, root):
            raise PeerError(f"unpacked {versions}, expected to find {lacking}; the recipe in fetch.py needs an update")
        if final.exists():  # of another recipe; goes away with the temporary folder
            final.rename(Path(home) / "old")
        root.rename(final)
    say(peer.name, f"ready in {time.monotonic() - started:.0f} s: {final}")


def fetch_missing(check_only: bool) -> Iterator[str]:
    """Fetch what the cache lacks; yield what cannot be had and why."""
    lacking = [peer for peer in PEERS if not is_fetched(peer)]
    if check_only:
        yield from (f"{peer.name}: not in {cache_dir()}; run python3 tests/peers/fetch.py" for peer in lacking)
    elif lacking:
        with locked(cache_dir()):
            for peer in lacking:
                try:
                    if not is_fetched(peer):  # another fetch may have held the lock
                        fetch(peer)
                except (PeerError, OSError) as error:
                    yield f"{peer.name}: {error}"


def without_packages(may_install: bool) -> list[str]:
    """Install the Debian packages of packages.txt, if allowed; what is missing in the end and why."""
    try:
        names = missing_packages()
        if not names:
            return []
        if may_install:
            return [f"packages: {problem}" for problem in install(names)]
    except PeerError as error:
        return [f"packages: {error}"]
    hint = f"run this with --install, or: apt-get install {' '.join(names)}"
    return [f"packages: not installed: {' '.join(names)}; {hint}"]


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; see the module's text."""
    parser = argparse.ArgumentParser(description="Fetch the real peers that the tests run against.")
    parser.add_argument("--install", action="store_true", help="also install missing Debian packages (root or sudo -n)")
    parser.add_argument("--check", action="store_true", help="change nothing, tell what is missing")
    options = parser.parse_args(argv)
    try:
        may_install = options.install and not options.check
        problems = [*without_packages(may_install), *fetch_missing(options.check)]
    except OSError as error:
        problems = [f"peers: {error}; OUTBOARD_PEERS can name another folder than {cache_dir()}"]
    except KeyboardInterrupt:
        problems = ["peers: interrupted; nothing half-done was left, run it again"]
    for problem in problems:
        print(f"MISSING {problem}", file=sys.stderr)
    if not problems:
        say("peers", f"all there: {cache_dir()}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
