"""A session of `outboard xive shell` under test; the command that starts one."""

import sys

import pytest

from outboard.cli.xive.session import Session
from outboard.cli.xive.verbs import perform
from outboard.errors import LocalError
from outboard.spapr.xive import SpaprXive

SHELL = [sys.executable, "-m", "outboard", "xive", "shell"]
PATIENCE = 60


class Rig:
    """A session; `rig("command")` returns what it prints."""

    def __init__(self, *cpus, **options):
        self.session = Session(SpaprXive(*cpus, **options))

    def __call__(self, line):
        return perform(self.session, line)

    def text(self, line):
        return "\n".join(self(line))

    def refused(self, line):
        """Perform what makes no sense: a sentence, and nothing has changed."""
        before, steps = self.session.xive.snapshot(), self.session.undoable
        with pytest.raises(LocalError) as error:
            self(line)
        assert self.session.xive.snapshot() == before == self.session.now
        assert self.session.undoable == steps
        assert "\n" not in str(error.value)
        return str(error.value)
