"""Screens: what outputs show, kept as pixels; frames taken of them; the EDID of a display.

`DisplayServer` hosts a whole back-end; it is another room's, offered here because people look for it here.
"""

from typing import TYPE_CHECKING, Any

from outboard.display.frame import Cursor, Frame
from outboard.display.screens import Screen, Screens

if TYPE_CHECKING:
    from outboard.frontend.server import DisplayServer as DisplayServer

__all__ = ["Cursor", "DisplayServer", "Frame", "Screen", "Screens"]


def __getattr__(name: str) -> Any:
    if name == "DisplayServer":
        from outboard.frontend.server import DisplayServer

        return DisplayServer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
