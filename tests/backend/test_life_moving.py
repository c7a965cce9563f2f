"""All of test_life again, with the back-end moving from IOThread to IOThread meanwhile."""

import contextlib
import random

import pytest

from tests.backend import test_life
from tests.backend.moving import moving

pytestmark = [pytest.mark.alike, pytest.mark.usefixtures("patient")]

globals().update({name: test for name, test in vars(test_life).items() if name.startswith("test_")})


@pytest.fixture
def serve(folder):
    """`serve(**options)`: as the fixture of that name elsewhere, but what it serves moves."""
    with contextlib.ExitStack() as stack:

        def start(**options):
            service = stack.enter_context(moving(folder / f"gpu{random.randrange(1 << 30):x}.sock", **options))
            service.movers.more(10)
            return service

        yield start
