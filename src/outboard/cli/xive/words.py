"""Words that a person types, and sentences for those that make no sense."""

import difflib
import re
from collections.abc import Iterable

from outboard.errors import LocalError

NUMBER = re.compile("0x[0-9a-f]{1,32}|[0-9]{1,40}", re.IGNORECASE)


def number(word: str, what: str) -> int:
    """Return the number that a person wrote, decimal or with 0x."""
    if not NUMBER.fullmatch(word):
        raise LocalError(f"{what} is a number, decimal or hexadecimal with 0x, not {word!a}")
    return int(word, 16 if word[:2].lower() == "0x" else 10)


def taken(words: list[str], usage: str, least: int, most: int | None = None) -> list[str]:
    """Return the words of a command if they are as many as it takes."""
    if not least <= len(words) <= (least if most is None else most):
        raise LocalError(f"usage: {usage}")
    return words


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return "did you mean ...? " for a word that resembles a known one, or nothing."""
    near = difflib.get_close_matches(word.lower(), list(known), 1)
    return f"did you mean {near[0]}? " if near else ""
