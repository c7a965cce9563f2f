"""Who ran where: recorded, counted, drawn."""

from outboard.aio.timeline.recorder import Lane, Mark, Recorder, Span, Timeline

__all__ = ["Lane", "Mark", "Recorder", "Span", "Timeline"]
