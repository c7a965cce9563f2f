"""Observation hooks: the rooms report what happened, whoever listens prints it.

Reporting to nobody costs one attribute load and one test.
"""

from collections.abc import Callable
from typing import Any

Hook = Callable[[str, dict[str, Any]], None]

_hooks: list[Hook] = []


def listen(hook: Hook) -> None:
    """Call `hook(event, fields)` for every event from now on."""
    _hooks.append(hook)


def unlisten(hook: Hook) -> None:
    """Stop calling `hook`; unknown hooks are ignored."""
    if hook in _hooks:
        _hooks.remove(hook)


def emit(event: str, **fields: Any) -> None:
    """Report `event`; hooks run in the order in which they were added."""
    for hook in _hooks:
        hook(event, fields)
