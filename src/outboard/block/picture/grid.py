"""A sheet of letters to draw on: lines that join where they meet, texts, styles.

Source: Unicode, Box Drawing (U+2500 to U+257F); ECMA-48 8.3.117 (SGR).
"""

import unicodedata

UP, RIGHT, DOWN, LEFT = 1, 2, 4, 8
LINES = {1: "╵", 2: "╶", 3: "└", 4: "╷", 5: "│", 6: "┌", 7: "├", 8: "╴", 9: "┘", 10: "─", 11: "┴", 12: "┐", 13: "┤"}
LINES |= {14: "┬", 15: "┼"}
RESET = "\x1b[0m"


def wide(letter: str) -> int:
    """Return how many columns a letter takes."""
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def length(text: str) -> int:
    """Return how many columns a text takes."""
    return sum(map(wide, text))


def clean(text: str) -> str:
    """Return a text as it may be sent to a terminal: a name may hold anything."""
    return "".join(one if one.isprintable() and not unicodedata.combining(one) else "?" for one in text)


def _fitting(text: str, columns: int) -> str:
    """Return as much of a text's beginning as there is room for."""
    end = 0
    while end < len(text) and (columns := columns - wide(text[end])) >= 0:
        end += 1
    return text[:end]


def elided(text: str, columns: int) -> str:
    """Return a text, its middle left out where it is too long: of a path, both ends say most."""
    if length(text) <= columns:
        return text
    head = _fitting(text, (columns - 1) // 3)
    tail = _fitting(text[::-1], columns - 1 - length(head))[::-1]
    return f"{head}…{tail}"


class Grid:
    """Letters by column and row; it grows as one draws. Lines of one cell join; texts lie over lines."""

    def __init__(self) -> None:
        self._arms: dict[tuple[int, int], int] = {}
        self._letters: dict[tuple[int, int], str] = {}
        self._styles: dict[tuple[int, int], str] = {}

    def _arm(self, x: int, y: int, arm: int) -> None:
        self._arms[x, y] = self._arms.get((x, y), 0) | arm

    def across(self, x1: int, x2: int, y: int) -> None:
        """Draw a line from column to column."""
        x1, x2 = min(x1, x2), max(x1, x2)
        for x in range(x1, x2):
            self._arm(x, y, RIGHT)
            self._arm(x + 1, y, LEFT)

    def down(self, x: int, y1: int, y2: int) -> None:
        """Draw a line from row to row."""
        y1, y2 = min(y1, y2), max(y1, y2)
        for y in range(y1, y2):
            self._arm(x, y, DOWN)
            self._arm(x, y + 1, UP)

    def box(self, x: int, y: int, width: int, height: int) -> None:
        """Draw a frame."""
        for row in (y, y + height - 1):
            self.across(x, x + width - 1, row)
        for column in (x, x + width - 1):
            self.down(column, y, y + height - 1)

    def text(self, x: int, y: int, text: str, style: str = "") -> None:
        """Write a text. style: the parameters of SGR, "1" for bold."""
        for letter in text:
            self._letters[x, y] = letter
            if wide(letter) == 2:
                self._letters[x + 1, y] = ""
            if style:
                self._styles[x, y] = style
            x += wide(letter)

    def paste(self, other: "Grid", x: int, y: int) -> None:
        """Lay another grid over this one, its corner at a cell."""
        for (column, row), arms in other._arms.items():
            self._arm(x + column, y + row, arms)
        for (column, row), letter in other._letters.items():
            self._letters[x + column, y + row] = letter
        for (column, row), style in other._styles.items():
            self._styles[x + column, y + row] = style

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows that are drawn on."""
        cells = {*self._arms, *self._letters}
        return max((x for x, _ in cells), default=-1) + 1, max((y for _, y in cells), default=-1) + 1

    def free(self, x: int, y: int, columns: int) -> bool:
        """Whether nothing is drawn in some columns of a row."""
        return not any((at, y) in self._arms or (at, y) in self._letters for at in range(x, x + columns))

    def show(self, colour: bool = False) -> str:
        """Return the rows as text."""
        width, height = self.size
        return "".join(self._row(y, width, colour).rstrip() + "\n" for y in range(height))

    def _row(self, y: int, width: int, colour: bool) -> str:
        row, style = [], ""
        for x in range(width):
            letter = self._letters.get((x, y), LINES.get(self._arms.get((x, y), 0), " "))
            wanted = self._styles.get((x, y), "") if colour else ""
            if wanted != style:
                row.append(f"\x1b[0;{wanted}m" if wanted else RESET)
                style = wanted
            row.append(letter)
        return "".join([*row, RESET if style else ""])
