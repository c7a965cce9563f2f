"""Scenes: what a guest shows, and what its screens must show then. One class each, all deterministic."""

from outboard.errors import LocalError
from outboard.machine.scenes.balls import Balls
from outboard.machine.scenes.heads import Mirror, OneFramebuffer, TwoHeads
from outboard.machine.scenes.picture import Picture
from outboard.machine.scenes.pointer import Pointer
from outboard.machine.scenes.rectangle import MovingRectangle
from outboard.machine.scenes.scene import Expected, Scene
from outboard.machine.scenes.scroll import TextScroll
from outboard.machine.scenes.testcard import TestCard
from outboard.machine.scenes.video import Video

__all__ = ["SCENES", "Expected", "Scene", "make"]

SCENES: dict[str, type[Scene]] = {
    scene.name: scene
    for scene in (
        TestCard,
        MovingRectangle,
        TextScroll,
        Pointer,
        Balls,
        TwoHeads,
        OneFramebuffer,
        Mirror,
        Picture,
        Video,
    )
}
"""The scenes by the names that users call them."""


def make(name: str, file: str = "") -> Scene:
    """Return a new scene. file: of those that show one. Raises LocalError when the two do not fit."""
    if name not in SCENES:
        raise LocalError(f"there is no scene {name!r}; there are {', '.join(SCENES)}")
    kind = SCENES[name]
    if kind.takes_file != bool(file):
        raise LocalError(f"scene {name} {'needs a file' if kind.takes_file else 'takes no file'}")
    return kind(file)
