"""Tables of the conformance kit that are made from the code whenever the manual is built.

checks TABLE         the rows of a `Checks` table: id, severity, what it asks for, where that stands
deviations TABLE     the rows of a table of known deviations, check by check
"""

from docutils import nodes
from sphinx.application import Sphinx
from wire import WireDirective, code, table, text


class ChecksDirective(WireDirective):
    """A table of checks."""

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        rows = [
            (code(row.id), text(row.severity), text(f"{row.says} ({row.document}, {row.section})"))
            for row in self.found()
        ]
        return [table(("Check", "Severity", "Asks for"), (30, 12, 58), rows)]


class DeviationsDirective(WireDirective):
    """A table of known deviations."""

    def run(self) -> list[nodes.Node]:
        """Return the table, peers that do the same together."""
        peers: dict[tuple[str, str], list[str]] = {}
        for row in self.found():
            peers.setdefault((row.check, row.words), []).append(row.peer)
        rows = [(code(check), text(words), text(", ".join(who))) for (check, words), who in peers.items()]
        return [table(("Check", "What it does", "Who"), (30, 44, 26), rows)]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    app.add_directive("checks", ChecksDirective)
    app.add_directive("deviations", DeviationsDirective)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
