"""Pictures of the block graph: what is drawn, and how."""

from outboard.block.picture.data import Box, Edge, Extent, Picture, Place
from outboard.block.picture.look import look

__all__ = ["Box", "Edge", "Extent", "Picture", "Place", "look"]
