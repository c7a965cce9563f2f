"""What fetch decides, without a network: sources, kernels, what is there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.peers import debian, fetch
from tests.peers.debian import PeerError, Source

DEB822 = """\
# a comment
Types: deb deb-src
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
 bookworm-backports
Components: main contrib
Signed-By: /usr/share/keyrings/x.gpg

Types: deb
URIs: http://third.example
Suites: nodistro
Components: main

Enabled: no
Types: deb
URIs: http://off.example
Suites: bookworm
Components: main

Types: deb-src
URIs: http://source.example
Suites: bookworm
Components: main
"""
ONE_LINE = """\
# deb http://off.example bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/x.gpg] http://mirror.example/debian bookworm main non-free # why
deb-src http://source.example bookworm main
deb http://third.example/linux bookworm stable
deb http://security.example bookworm-security main
"""


def test_deb822() -> None:
    first, third, source = (*debian.parse_deb822(DEB822), None)
    assert first == Source(
        ("http://mirror.example/debian",), ("bookworm", "bookworm-updates", "bookworm-backports"), ("main", "contrib")
    )
    assert third and third.suites == ("nodistro",)
    assert source is None


def test_one_line() -> None:
    assert [(e.uris[0], e.suites[0], e.components) for e in debian.parse_one_line(ONE_LINE)] == [
        ("http://mirror.example/debian", "bookworm", ("main", "non-free")),
        ("http://third.example/linux", "bookworm", ("stable",)),
        ("http://security.example", "bookworm-security", ("main",)),
    ]


def test_only_debian_itself_is_used(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text(ONE_LINE)
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d/debian.sources").write_text(DEB822)
    (tmp_path / "sources.list.d/x.list.disabled").write_text("deb http://off.example bookworm main\n")
    found = debian.debian_sources(tmp_path)
    assert [(s.uris[0], s.suites) for s in found] == [
        ("http://mirror.example/debian", ("bookworm",)),
        ("http://security.example", ("bookworm-security",)),
        ("http://mirror.example/debian", ("bookworm", "bookworm-updates")),
    ]
    backports = debian.sources_text(found, backports=True)
    assert backports.count("Suites: bookworm-backports\n") == 2 and "security" not in backports


def test_no_source(tmp_path: Path) -> None:
    with pytest.raises(PeerError, match="no source for suite bookworm main"):
        debian.debian_sources(tmp_path)


def test_newest_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    names = """linux-image-6.1.0-9-amd64 linux-image-6.1.0-50-amd64-unsigned linux-image-6.1.0-50-amd64
        linux-image-6.1.0-51-amd64-dbg linux-image-6.1.0-51-cloud-amd64 linux-image-6.1.0-51-rt-amd64
        linux-image-6.12-amd64"""
    monkeypatch.setattr(debian, "run", lambda *_argv, **_more: names)
    apt = object.__new__(debian.PrivateApt)
    apt.options, apt.lists_error = [], ""
    assert apt.newest("linux-image-6.1.*-amd64") == "linux-image-6.1.0-50-amd64"
    assert apt.newest("seabios") == "seabios"
    with pytest.raises(PeerError, match=r"no package named linux-image-6\.1\.\*-riscv64"):
        apt.newest("linux-image-6.1.*-riscv64")


def test_a_peer_is_there_whole_or_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTBOARD_PEERS", str(tmp_path))
    peer = fetch.Peer("thing", ("a", "b"), ("bin/*",))
    assert not fetch.is_fetched(peer)
    (tmp_path / "thing/bin").mkdir(parents=True)
    (tmp_path / "thing/bin/a").touch()
    assert not fetch.is_fetched(peer), "no receipt"
    (tmp_path / "thing" / fetch.RECEIPT).write_text(json.dumps({"recipe": ["a", "b"]}))
    assert fetch.is_fetched(peer)
    assert not fetch.is_fetched(fetch.Peer("thing", ("a", "c"), ("bin/*",))), "another recipe"
    assert not fetch.is_fetched(fetch.Peer("thing", ("a", "b"), ("lib/*",))), "something is gone"


def test_one_that_fails_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OUTBOARD_PEERS", str(tmp_path))
    tried = []

    def attempt(peer: fetch.Peer) -> None:
        tried.append(peer.name)
        if peer is fetch.QEMU_10:
            raise PeerError("the network is down")

    monkeypatch.setattr(fetch, "fetch", attempt)
    monkeypatch.setattr(fetch, "missing_packages", list)
    (tmp_path / ".tmp-left").mkdir()
    assert fetch.main([]) == 1
    assert tried == ["qemu-10", "linux-amd64", "linux-ppc64le"]
    assert capsys.readouterr().err == "MISSING qemu-10: the network is down\n"
    assert not (tmp_path / ".tmp-left").exists()


def test_check_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OUTBOARD_PEERS", str(tmp_path / "none"))
    monkeypatch.setattr(fetch, "missing_packages", lambda: ["gcc"])
    assert fetch.main(["--check", "--install"]) == 1
    assert not (tmp_path / "none").exists()
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("MISSING packages: not installed: gcc; ") and len(said) == 4
