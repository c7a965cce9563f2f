"""Programs for the simulator: small graphs that are moved, drained and changed while requests are under way."""

from tests.block.programs import drivers, edges, moves, sections
from tests.block.programs.parts import PROGRAMS

__all__ = ["PROGRAMS", "drivers", "edges", "moves", "sections"]
