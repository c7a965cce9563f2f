"""A context that the test itself polls, over real fds and simulated."""

import pytest

from outboard.aio.simulator import Simulator
from outboard.aio.world import REAL


class Here:
    """One of both worlds, as a test needs it."""

    def __init__(self, name):
        self.sim = Simulator() if name == "simulated" else None
        self.world = self.sim or REAL
        self._made = []

    def context(self, name="ctx"):
        ctx = self.sim.context(name, served=False) if self.sim else REAL.context(name)
        self._made.append(ctx)
        return ctx

    def notifier(self):
        made = self.world.notifier()
        self._made.append(made)
        return made

    def close(self):
        for made in self._made:
            try:
                made.close()
            except (OSError, KeyError):
                pass  # the test has closed it


@pytest.fixture(params=["real", "simulated"])
def here(request):
    made = Here(request.param)
    if made.sim:
        with made.sim.inside():
            yield made
    else:
        yield made
    made.close()


@pytest.fixture
def ctx(here):
    return here.context()


@pytest.fixture
def no_fd_is_leaked(open_fds):
    before = open_fds()
    yield
    assert open_fds() == before
