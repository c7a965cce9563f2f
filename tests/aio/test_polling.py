"""How the time of adaptive polling grows and shrinks."""

import pytest

from outboard.aio.polling import PollTime

pytestmark = pytest.mark.alike


@pytest.mark.parametrize(
    ("params", "blocks", "times"),
    [
        ((32_000, 0, 0), [5_000] * 2, [4_000, 8_000]),
        ((32_000, 0, 0), [31_000] * 5, [4_000, 8_000, 16_000, 32_000, 32_000]),
        ((10_000, 0, 0), [9_000] * 3, [4_000, 8_000, 10_000]),
        ((32_000, 4, 0), [31_000] * 3, [4_000, 16_000, 32_000]),
        ((32_000, 0, 0), [31_000, 31_000, 40_000, 31_000], [4_000, 8_000, 0, 4_000]),
        ((32_000, 0, 2), [31_000, 31_000, 40_000, 40_000], [4_000, 8_000, 4_000, 2_000]),
        ((32_000, 0, 0), [31_000, 31_000, 8_000, 100], [4_000, 8_000, 8_000, 8_000]),
        ((3_000, 0, 0), [2_000, 5_000], [3_000, 0]),
    ],
)
def test_the_time_follows_what_the_waits_take(params, blocks, times):
    time = PollTime()
    time.set(*params)
    seen = []
    for block in blocks:
        time.waited(block)
        seen.append(time.ns)
    assert seen == times
    time.set(1, 0, 0)
    assert time.ns == 0
