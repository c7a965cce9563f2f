"""Screens: what outputs show, kept as pixels."""

from outboard.display.screens import Screen, Screens

__all__ = ["Screen", "Screens"]
