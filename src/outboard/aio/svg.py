"""Drawings as SVG: shapes in the order in which they are drawn, texts escaped, one document at the end.

Source: W3C, Scalable Vector Graphics (SVG) 1.1.
"""

import html
import re

FONT = "system-ui, 'Segoe UI', 'DejaVu Sans', Arial, sans-serif"
STYLE = f"text {{ font-family: {FONT}; font-size: 12px; fill: #1f2430; }}"
# What XML 1.0 does not take, escaped or not: a name may hold anything.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def escaped(text: object) -> str:
    """Return a text as it may stand between tags or in quotes."""
    return html.escape(_NOT_XML.sub("\ufffd", str(text)))


def number(value: float) -> str:
    """Return a coordinate with no more digits than one sees."""
    return f"{value:.1f}".removesuffix(".0")


def _attributes(named: dict[str, object]) -> str:
    words = []
    for name, value in named.items():
        text = number(value) if isinstance(value, float) else escaped(value)
        words.append(f' {name.rstrip("_").replace("_", "-")}="{text}"')
    return "".join(words)


class Drawing:
    """A drawing that grows. Lengths are pixels, y grows downwards.

    Attributes are given by name: `text_anchor` is text-anchor, `class_` is class. tip: what a viewer shows of a shape
    when it is pointed at.
    """

    def __init__(self) -> None:
        self._parts: list[str] = []

    def shape(self, tag: str, tip: str = "", **named: object) -> None:
        """Draw an element that is told by its attributes."""
        self._element(tag, tip, named)

    def _element(self, tag: str, tip: str, named: dict[str, object]) -> None:
        end = f"><title>{escaped(tip)}</title></{tag}>" if tip else "/>"
        self._parts.append(f"<{tag}{_attributes(named)}{end}")

    def rect(self, x: float, y: float, width: float, height: float, tip: str = "", **named: object) -> None:
        """Draw a rectangle."""
        place: dict[str, object] = {"x": float(x), "y": float(y), "width": float(width), "height": float(height)}
        self._element("rect", tip, place | named)

    def line(self, x1: float, y1: float, x2: float, y2: float, **named: object) -> None:
        """Draw a line."""
        ends: dict[str, object] = {"x1": float(x1), "y1": float(y1), "x2": float(x2), "y2": float(y2)}
        self._element("line", "", ends | named)

    def text(self, x: float, y: float, text: str, **named: object) -> None:
        """Write a line of text on the base line y."""
        self._parts.append(f"<text{_attributes({'x': float(x), 'y': float(y), **named})}>{escaped(text)}</text>")

    def finish(self, width: float, height: float, title: str, style: str = "", marker: str = "") -> str:
        """Return the document. style: CSS beside that of texts; marker: a `<marker>` that lines end in."""
        size = f'width="{number(width)}" height="{number(height)}" viewBox="0 0 {number(width)} {number(height)}"'
        head = [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size}>',
            f"<title>{escaped(title)}</title>",
            f"<style>{STYLE} {style}</style>",
            f"<defs>{marker}</defs>",
            f'<rect width="{number(width)}" height="{number(height)}" fill="#ffffff"/>',
        ]
        return "\n".join([*head, *self._parts, "</svg>", ""])
