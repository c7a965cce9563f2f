"""Root of the exceptions.

A guest's mistake is never an exception: it is a response, a status or a traced event.
"""


class OutboardError(Exception):
    """Everything that outboard raises on purpose."""


class ProtocolError(OutboardError):
    """A peer broke its protocol.

    request: name of the message or structure; expected, got: what the document asks for and what came.
    """

    def __init__(self, request: str, expected: str, got: str) -> None:
        super().__init__(f"{request}: expected {expected}, got {got}")
        self.request = request
        self.expected = expected
        self.got = got


class LocalError(OutboardError):
    """Our own caller, or the user, asked for something that cannot be done."""


class WaitTimeout(OutboardError):
    """A wait ended without what it waited for; the message says what was seen instead."""
