"""The block graph: nodes in contexts, and what moves them."""

from outboard.block.backend import BlockBackend, DevOps
from outboard.block.graph import Node

__all__ = ["BlockBackend", "DevOps", "Node"]
