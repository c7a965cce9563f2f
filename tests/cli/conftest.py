"""Sessions of the shell."""

import pytest

from tests.cli.xive_rig import Rig


@pytest.fixture
def rig():
    made = Rig(2)
    made("trace off")
    return made


@pytest.fixture
def ready(rig):
    rig("setup")
    return rig
