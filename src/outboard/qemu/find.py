"""What of QEMU is on this machine: emulators, KVM, the C helper.

Documents: qemu(1) `--version`; Linux, virt/kvm/api (KVM_CREATE_VM); QEMU, vhost-user.json
(the descriptors that name back-end programs).

Modelled: QEMUs on the PATH, and one unpacked beside them in `$OUTBOARD_PEERS`,
`$XDG_CACHE_HOME/outboard/peers` or `~/.cache/outboard/peers` under `qemu-10`.
Not modelled: QEMU built from source elsewhere; give `QemuBinary.read` its path.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from outboard.qemu.failure import QemuError

KVM_CREATE_VM = 0xAE01
TARGETS = ("x86_64", "ppc64")
DESCRIPTORS = Path("/usr/share/qemu/vhost-user")
HELPER_FOLDERS = (Path("/usr/lib/qemu"), Path("/usr/libexec"), Path("/usr/libexec/qemu"))


@dataclass(frozen=True, order=True)
class QemuBinary:
    """An emulator. Sorts by version."""

    version: tuple[int, ...]
    target: str
    """`x86_64` or `ppc64`."""
    path: Path
    root: Path | None = None
    """Where a QEMU that is not installed was unpacked: the folder with `usr`."""

    @classmethod
    def read(cls, path: Path, root: Path | None = None) -> QemuBinary:
        """Ask the program at `path` for its version. Raises QemuError when it does not run."""
        bare = cls((), path.name.removeprefix("qemu-system-"), path, root)
        try:
            said = subprocess.run(
                [path, "--version"], env=bare.env(), capture_output=True, text=True, timeout=20, check=True
            ).stdout
        except (OSError, subprocess.SubprocessError) as error:
            words = (getattr(error, "stderr", None) or str(error)).strip()
            raise QemuError(f"{path} --version: {words}") from error
        found = re.search(r"version (\d+)\.(\d+)\.(\d+)", said)
        if not found:
            raise QemuError(f"{path} --version: expected `QEMU emulator version N.N.N`, got {said[:80]!r}")
        return cls(tuple(map(int, found.groups())), bare.target, path, root)

    def env(self) -> dict[str, str]:
        """The environment it needs: an unpacked QEMU must not load the installed one's modules."""
        env = dict(os.environ)
        if self.root and (folder := next(self.root.glob("usr/lib/*/qemu"), None)):
            env["QEMU_MODULE_DIR"] = str(folder)
        return env

    def data_arguments(self) -> list[str]:
        """`-L` for the firmware of an unpacked QEMU."""
        folders = [self.root / "usr/share" / name for name in ("qemu", "seabios")] if self.root else []
        return [word for folder in folders for word in ("-L", str(folder))]

    def __str__(self) -> str:
        """`qemu-system-x86_64 10.0.2`."""
        return f"{self.path.name} {'.'.join(map(str, self.version))}"


def peers_dir() -> Path:
    """Folder of the unpacked peers; may not exist."""
    if own := os.environ.get("OUTBOARD_PEERS"):
        return Path(own).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "outboard" / "peers"


def candidates(target: str) -> Iterator[tuple[Path, Path | None]]:
    """Programs that may emulate `target`, with the root of an unpacked one."""
    if on_path := shutil.which(f"qemu-system-{target}"):
        yield Path(on_path), None
    root = peers_dir() / "qemu-10"
    if (unpacked := root / f"usr/bin/qemu-system-{target}").exists():
        yield unpacked, root


@cache
def read_once(path: Path, root: Path | None, _changed_ns: int) -> QemuBinary | None:
    """`QemuBinary.read`, None when it does not run; asked again when the file changed."""
    try:
        return QemuBinary.read(path, root)
    except QemuError:
        return None


def find_qemus(target: str | None = None) -> list[QemuBinary]:
    """The QEMUs that run here, newest last, for one target or for all of TARGETS."""
    found = [
        read_once(path, root, path.stat().st_mtime_ns)
        for name in ([target] if target else TARGETS)
        for path, root in candidates(name)
    ]
    return sorted(binary for binary in found if binary)


def find_qemu(target: str, at_least: tuple[int, ...] = (0,), below: tuple[int, ...] = (9999,)) -> QemuBinary:
    """The newest QEMU for `target` in a range of versions. Raises QemuError, naming what there is."""
    there = find_qemus(target)
    fitting = [binary for binary in there if at_least <= binary.version < below]
    if not fitting:
        wanted = ".".join(map(str, at_least)) + (f" to below {'.'.join(map(str, below))}" if below < (9999,) else "")
        got = ", ".join(map(str, there)) or "none"
        raise QemuError(
            f"no qemu-system-{target} of version {wanted}; found: {got}. "
            f"Install qemu-system, or unpack a newer one: python3 tests/peers/fetch.py"
        )
    return fitting[-1]


def kvm_problem(device: Path = Path("/dev/kvm")) -> str | None:
    """Why KVM cannot be used, None when a VM could be made."""
    try:
        kvm = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        return f"{device}: {error.strerror}"
    try:
        os.close(fcntl.ioctl(kvm, KVM_CREATE_VM, 0))
    except OSError as error:
        return f"{device}: KVM_CREATE_VM: {error.strerror}"
    finally:
        os.close(kvm)
    return None


def described_helpers(folder: Path) -> Iterator[Path]:
    """Back-end programs of type gpu that the descriptors in `folder` name."""
    for descriptor in sorted(folder.glob("*.json")):
        try:
            described = json.loads(descriptor.read_text())
        except (OSError, ValueError):
            continue
        if described.get("type") == "gpu" and "binary" in described:
            yield Path(described["binary"])


def find_c_helper() -> Path | None:
    """QEMU's own GPU back-end `vhost-user-gpu`, None when it is not installed."""
    guesses = [*described_helpers(DESCRIPTORS), *(folder / "vhost-user-gpu" for folder in HELPER_FOLDERS)]
    return next((path for path in guesses if path.name == "vhost-user-gpu" and os.access(path, os.X_OK)), None)
