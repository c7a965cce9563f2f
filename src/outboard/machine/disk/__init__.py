"""A disk as a test author sees it: probe, read, write, flush, many requests in flight; and a load that measures."""

from outboard.machine.disk.disk import FEATURES, Disk, Pending, attached
from outboard.machine.disk.requests import Answer, Refused, Request

__all__ = ["FEATURES", "Answer", "Disk", "Pending", "Refused", "Request", "attached"]
