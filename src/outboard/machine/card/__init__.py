"""A graphics card as a test author sees it: connectors, dumb buffers, page flips, damage, cursors."""

from outboard.machine.card.buffers import DumbBuffer
from outboard.machine.card.card import Card
from outboard.machine.card.connectors import Connector

__all__ = ["Card", "Connector", "DumbBuffer"]
