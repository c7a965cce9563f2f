"""What the peers of a test say, for the report when it fails."""

from __future__ import annotations

from collections.abc import Callable

_said: dict[str, Callable[[], str]] = {}


def hear(name: str, said: Callable[[], str]) -> None:
    """Have `said()` in the report of a failure; the last one of a name counts, also when the peer is gone."""
    _said[name] = said


def sections() -> list[tuple[str, str]]:
    """Title and text of each."""
    return [(name, said()) for name, said in _said.items()]


def forget() -> None:
    """Start anew."""
    _said.clear()
