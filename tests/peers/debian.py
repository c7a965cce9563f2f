"""Debian's packages for the peers: a private apt, and what is installed.

The private apt has lists, cache and status of its own, for any architecture, so that
nothing of the system changes. Documents: apt-get(8), apt.conf(5), sources.list(5),
deb822(5), sudo(8). Standard library only.

Not modelled: sources other than Debian 12's own, options within a source's entry.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

CODENAME = "bookworm"
BACKPORTS = f"{CODENAME}-backports"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
PACKAGES = Path(__file__).with_name("packages.txt")


class PeerError(Exception):
    """A peer cannot be had; the text says which, why, and what to do."""


def say(who: str, what: str) -> None:
    """One progress line."""
    print(f"{who}: {what}", flush=True)


def run(*argv: str | Path, cwd: Path | None = None) -> str:
    """Standard output of a command. Raises PeerError with its last words."""
    command = [str(word) for word in argv]
    env = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)
    except FileNotFoundError as gone:
        raise PeerError(f"program {command[0]!r} not found; this needs Debian with apt and dpkg") from gone
    if done.returncode:
        last = "\n    ".join((done.stderr or done.stdout).strip().splitlines()[-6:])
        raise PeerError(f"{command[0]} ended with {done.returncode}:\n    {last}")
    return done.stdout


# -- where Debian comes from --------------------------------------------------


@dataclass(frozen=True)
class Source:
    """One entry of apt's sources, as far as it is needed again."""

    uris: tuple[str, ...]
    suites: tuple[str, ...]
    components: tuple[str, ...]


def parse_deb822(text: str) -> Iterator[Source]:
    """Entries of a `.sources` file that are enabled and hold binary packages."""
    uncommented = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for stanza in re.split(r"\n\s*\n", uncommented):
        unfolded = re.sub(r"\n[ \t]+", " ", stanza)
        pairs = re.findall(r"(?m)^([\w-]+):[ \t]*(.*)$", unfolded)
        fields = {key.lower(): value.split() for key, value in pairs}
        if "deb" in fields.get("types", ()) and fields.get("enabled") != ["no"]:
            yield Source(*(tuple(fields.get(key, ())) for key in ("uris", "suites", "components")))


def parse_one_line(text: str) -> Iterator[Source]:
    """Entries of a `sources.list`: `deb [options] URI SUITE COMPONENT...`."""
    for uri, suite, components in re.findall(r"(?m)^\s*deb\s+(?:\[[^]]*\]\s*)?(\S+)[ \t]+(\S+)[ \t]+([^\n#]+)", text):
        yield Source((uri,), (suite,), tuple(components.split()))


def debian_sources(etc: Path = Path("/etc/apt")) -> list[Source]:
    """The machine's sources for Debian 12 itself; others are left out.

    Raises PeerError when there is none.
    """
    wanted = {CODENAME, f"{CODENAME}-updates", f"{CODENAME}-security"}
    files = [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))]
    parsers = {".list": parse_one_line, ".sources": parse_deb822}
    readable = [file for file in files if file.is_file() and file.suffix in parsers]
    found = []
    for entry in (entry for file in readable for entry in parsers[file.suffix](file.read_text())):
        if (suites := tuple(s for s in entry.suites if s in wanted)) and "main" in entry.components:
            found.append(Source(entry.uris, suites, ("main",)))
    if not any(CODENAME in source.suites for source in found):
        raise PeerError(f"no source for suite {CODENAME} main under {etc}; the peers are Debian 12's: add its mirror")
    return found


def sources_text(sources: Sequence[Source], backports: bool) -> str:
    """A `.sources` file: Debian 12, or its backports from the same mirrors."""
    signed = f"Signed-By: {KEYRING}\n" if KEYRING.exists() else ""
    stanzas = []
    for source in sources:
        if backports and CODENAME not in source.suites:
            continue
        suites = BACKPORTS if backports else " ".join(source.suites)
        stanzas.append(f"Types: deb\nURIs: {' '.join(source.uris)}\nSuites: {suites}\nComponents: main\n{signed}")
    return "\n".join(stanzas)


class PrivateApt:
    """apt with lists, cache and status of its own in `home`, for one architecture."""

    def __init__(self, home: Path, arch: str, backports: bool) -> None:
        """Make the folders and read the package lists; an empty `arch` is this machine's.

        Raises PeerError.
        """
        for folder in ("lists/partial", "cache/archives/partial", "etc"):
            (home / folder).mkdir(parents=True)
        (home / "status").touch()
        sources = home / "etc" / "debian.sources"
        sources.write_text(sources_text(debian_sources(), backports))
        settings = {
            "Dir::State::Lists": home / "lists",
            "Dir::State::status": home / "status",
            "Dir::Cache": home / "cache",
            "Dir::Etc::sourcelist": sources,
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::Etc::preferences": "/dev/null",
            "Dir::Etc::preferencesparts": "/dev/null",
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
            # the private folders are not readable for user _apt
            "APT::Sandbox::User": "root",
        }
        if arch:
            settings |= {"APT::Architecture": arch, "APT::Architectures": arch}
        self.options = [f"-o{name}={value}" for name, value in settings.items()]
        self.lists_error = ""
        try:
            run("apt-get", *self.options, "-qq", "update")
        except PeerError as error:  # one bad list among good ones is harmless; the download will tell
            self.lists_error = f"\n  package lists: {error}"

    def newest(self, pattern: str) -> str:
        """The package that `linux-image-6.1.*-SUFFIX` stands for; other names as they are."""
        if "*" not in pattern:
            return pattern
        head, tail = (re.escape(part) for part in pattern.split("*"))
        match = re.compile(rf"{head}([\d.-]+){tail}(-unsigned)?")
        names = run("apt-cache", *self.options, "pkgnames", pattern.split("*")[0]).split()
        hits = [(numbers(hit[1]), not hit[2], hit[0]) for name in names if (hit := match.fullmatch(name))]
        if not hits:
            raise PeerError(f"no package named {pattern} in the lists{self.lists_error}")
        return max(hits)[2]

    def download(self, packages: Sequence[str], folder: Path) -> list[Path]:
        """Put the packages' files into `folder` and list them. Raises PeerError."""
        folder.mkdir()
        try:
            run("apt-get", *self.options, "-qq", "download", *packages, cwd=folder)
        except PeerError as error:
            raise PeerError(f"{error}{self.lists_error}") from None
        return sorted(folder.glob("*.deb"))


def numbers(version: str) -> list[int]:
    """`.0-50` as [0, 50], to be compared as numbers."""
    return [int(number) for number in re.findall(r"\d+", version)]


# -- the installed packages ---------------------------------------------------


def missing_packages() -> list[str]:
    """Packages of packages.txt that are not installed. Raises PeerError without dpkg."""
    wanted = [line for line in PACKAGES.read_text().splitlines() if line and not line.startswith("#")]
    installed = {line.split()[0] for line in run_status(*wanted) if line.endswith(" installed")}
    return [name for name in wanted if name not in installed]


def run_status(*names: str) -> list[str]:
    """Lines `PACKAGE STATUS` of the packages that dpkg knows."""
    if not shutil.which("dpkg-query"):
        raise PeerError("program 'dpkg-query' not found; the peers are Debian 12's, this needs apt and dpkg")
    argv = ["dpkg-query", "-W", "-f=${Package} ${db:Status-Status}\n", *names]
    # its exit code is 1 when it does not know one of them
    return subprocess.run(argv, capture_output=True, text=True).stdout.splitlines()


def root_words(names: Sequence[str]) -> list[str]:
    """Words to put before a command that needs root. Raises PeerError without any."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") and subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode == 0:
        return ["sudo", "-n"]
    raise PeerError(f"not installed: {' '.join(names)}; neither root nor `sudo -n` works here, install them as root")


def install(names: Sequence[str]) -> list[str]:
    """Install Debian packages with the system's apt; what could not be installed and why.

    One package that cannot be had does not keep the others out. Raises PeerError
    when nothing can be installed at all.
    """
    say("packages", f"installing {' '.join(names)}")
    command = [*root_words(names), "apt-get", "-qq", "-oDPkg::Lock::Timeout=300"]
    run(*command, "update")
    try:
        run(*command, "-y", "--no-install-recommends", "install", *names)
    except PeerError as error:
        if len(names) == 1:
            return [f"{names[0]}: {error}"]
        return [problem for name in names for problem in install([name])]
    say("packages", "installed")
    return []
