"""Facts of the manual that are taken from the code whenever it is built.

    {value}`NAME` or {value}`NAME|FORM`    a constant; FORM is `bytes`, `hex` or `size`
    options COMMAND                        the arguments of a command, as its parser knows them
    log-lines                              every line of the log with what it means; the body explains each event:

        session.began
        : What it means.

The build fails when an event of the log has no explanation, or an explanation no event.
"""

import argparse
import ast
import inspect
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective, SphinxRole
from wire import code, table, text

from outboard.cli import log, main

UNITS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def amount(value: int) -> str:
    """Return bytes in the largest unit that divides them."""
    for unit, name in UNITS:
        if value >= unit and value % unit == 0:
            return f"{value // unit} {name}"
    return f"{value} bytes"


def source_of(module: ModuleType) -> Path:
    """Return a module's .py, which stands beside its compiled form too."""
    folder = Path(str(module.__file__)).parent
    return folder / f"{module.__name__.rpartition('.')[2]}.py"


def constant(dotted: str) -> Any:
    """Return a constant of a module; the compiled form of a module may hide it, its source does not."""
    origin, _, name = dotted.rpartition(".")
    module = import_module(origin)
    if hasattr(module, name):
        return getattr(module, name)
    for node in ast.parse(source_of(module).read_text()).body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == [name]:
            return eval(ast.unparse(node.value), dict(vars(module)))
    raise AttributeError(f"{origin} has no constant {name}")


FORMS = {
    "": str,
    "bytes": amount,
    "hex": lambda value: f"{value:#x}",
    "size": lambda value: "x".join(map(str, value)),
}


class ValueRole(SphinxRole):
    """A constant of the code."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Return its value as text."""
        dotted, _, form = self.text.partition("|")
        value = constant(dotted)
        self.env.note_dependency(str(source_of(import_module(dotted.rpartition(".")[0]))))
        words = f"{value:g}" if isinstance(value, float) else FORMS[form](value)
        return [nodes.Text(words)], []


def parser_of(words: list[str]) -> argparse.ArgumentParser:
    """Return the parser of a command, `gpu serve`."""
    parser = main.parser()
    for word in words:
        groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
        parser = groups[0].choices[word]
    return parser


class OptionsDirective(SphinxDirective):
    """The arguments of a command."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Return them as a table."""
        parser = parser_of(self.arguments[0].split())
        self.env.note_dependency(str(inspect.getsourcefile(main)))
        rows = [
            (code(spelled(action)), text(str(action.help)))
            for action in parser._actions
            if action.dest != "help" and action.help
        ]
        return [table(("Argument", "Does"), (35, 65), rows)]


def spelled(action: argparse.Action) -> str:
    """Return an argument as one writes it."""
    value = "" if action.nargs == 0 else f"{action.metavar or action.dest.upper()}"
    return f"{', '.join(action.option_strings)} {value}".strip()


class LogLinesDirective(SphinxDirective):
    """Every line of the log."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Return a table: the line, and what it means."""
        self.env.note_dependency(str(inspect.getsourcefile(log)))
        explained = self.explained()
        if wrong := explained.keys() ^ log.WORDS.keys():
            raise self.error(f"log events without an explanation, or explanations without an event: {sorted(wrong)}")
        rows = [(code(words), explained[event]) for event, words in log.WORDS.items()]
        return [table(("Line", "Means, and what to do"), (40, 60), rows)]

    def explained(self) -> dict[str, nodes.Node]:
        """Parse the body."""
        found: dict[str, nodes.Node] = {}
        event = ""
        for at, words in enumerate(self.content):
            if words.startswith(": "):
                cell = nodes.container()
                lines = [words[2:], *self.more(at + 1)]
                self.state.nested_parse(StringList(lines, "log-lines"), self.content_offset + at, cell)
                found[event] = cell
            elif words and not words.startswith(" "):
                event = words
        return found

    def more(self, at: int) -> list[str]:
        """Return the indented lines that go on with an explanation."""
        lines = []
        while at < len(self.content) and self.content[at].startswith("  "):
            lines.append(self.content[at].strip())
            at += 1
        return lines


def setup(app: Sphinx) -> dict[str, bool]:
    """Register role and directives."""
    app.add_role("value", ValueRole())
    app.add_directive("options", OptionsDirective)
    app.add_directive("log-lines", LogLinesDirective)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
