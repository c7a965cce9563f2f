"""Long random sequences of everything, on the model and on the oracle: the same answers, the same state after each."""

import random

import pytest

from outboard import core
from tests.spapr.machine import LISN_POOL, Pair
from tests.spapr.operations import HOSTILE, ORDINARY, Draws, operations, page, setup

SEEDS = range(80 if core() == "compiled" else 48)
OPERATIONS = 300


@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_sequence(seed):
    cpus, vsmt = 1 + seed % 4, 8 if seed & 4 else 1
    pair = Pair(max(1, cpus - (seed >> 3) % 2), cpus, vsmt)
    draw = Draws(random.Random(seed), cpus, vsmt)
    for operation in operations(draw, OPERATIONS, HOSTILE if seed % 3 else ORDINARY):
        pair.do(*operation)
        pair.check()
    pair.check_memory()


@pytest.mark.parametrize("cpus", [1, 2])
def test_queues_that_go_round(cpus):
    pair, draw = Pair(cpus), Draws(random.Random(cpus), cpus)
    for operation in setup(draw):
        pair.do(*operation)
    for number in range(5000):
        at = page(draw, draw.one(LISN_POOL), True) + 0x800
        pair.do("store", draw.cpu(), at, 8, 0)
        pair.do("load", draw.cpu(), 0x60302031A0810, 2)
        if number % 100 == 0:
            pair.check()
            pair.check_memory()
    assert any(end["off"] and end["size"] == 12 and not end["gen"] for end in pair.oracle.ends.values())
    pair.check()
    pair.check_memory()
