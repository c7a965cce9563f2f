"""Screens: what outputs show, kept as pixels; frames taken of them; the EDID of a display."""

from outboard.display.frame import Cursor, Frame
from outboard.display.screens import Screen, Screens

__all__ = ["Cursor", "Frame", "Screen", "Screens"]
