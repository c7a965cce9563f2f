"""The index of CAM lines against a look at every ring of every thread, the way the document describes the search."""

import random

import pytest

from outboard.xive.events import Events
from outboard.xive.presenter import Presenter

RINGS = (0x00, 0x10, 0x20, 0x30)


def scan(presenter, pirs, user, cam, server):
    """Return what `match` must: 64 * thread + ring, -1 for none, -2 for several."""
    rings, enabled = presenter.tables()["rings"], presenter.tables()["enabled"]
    found = []
    for thread, pir in enumerate(pirs):
        if not enabled[thread]:
            continue
        w2 = [int.from_bytes(rings[at : at + 4], "big") for at in (64 * thread + ring + 8 for ring in RINGS)]
        valid = [word >= 0x80000000 for word in w2]
        if user:
            if valid[1] and w2[1] & 0xFFFFFF == cam and valid[0] and w2[0] & 0x7FFFFFFF == server:
                found.append(64 * thread)
        elif valid[3] and cam == 0x80 | pir & 0x7F:
            found.append(64 * thread + 0x30)
        elif valid[2] and w2[2] & 0xFFFFFF == cam:
            found.append(64 * thread + 0x20)
        elif valid[1] and w2[1] & 0xFFFFFF == cam:
            found.append(64 * thread + 0x10)
    return (found or [-1])[0] if len(found) < 2 else -2


def step(rng, presenter, threads, cams):
    """Change one thread in one of the ways that there are."""
    thread, ring = rng.randrange(threads), rng.choice(RINGS)
    w2 = rng.choice([0, 0x80000000, 0x80000000, 0xFF000000]) | rng.choice(cams)
    match rng.randrange(12):
        case 0:
            presenter.enable(thread, False)
        case 1 | 2:
            presenter.enable(thread, True)
        case 3:
            presenter.reset(thread)
        case 4:  # as a snapshot is loaded
            at = 64 * thread
            presenter.tables()["rings"][at + ring + 8 : at + ring + 12] = w2.to_bytes(4, "big")
            presenter.reindex(thread)
        case _:
            presenter.set_w2(thread, ring, w2)


@pytest.mark.parametrize("threads", [1, 2, 7, 130])
@pytest.mark.parametrize("seed", range(15))
def test_the_index_answers_as_a_scan_does(threads, seed):
    rng = random.Random(1000 * threads + seed)
    pirs = [rng.choice([thread, 0x100 * thread, rng.getrandbits(32)]) for thread in range(threads)]
    presenter = Presenter(pirs, Events())
    cams = [rng.choice([0x80 | pirs[0] & 0x7F, rng.getrandbits(23), rng.getrandbits(8)]) for _ in range(4 + threads)]
    cams += [0, 0x7FFFFF, 0x800010]
    for thread in range(threads):
        presenter.enable(thread, rng.random() < 0.8)
    for _ in range(300):
        step(rng, presenter, threads, cams)
        for cam in rng.sample(cams, 4):
            user, server = rng.random() < 0.2, rng.choice(cams)
            blk, idx = cam >> 19 & 15, cam & 0x7FFFF
            assert presenter.match(user, blk, idx, server) == scan(presenter, pirs, user, blk << 19 | idx, server)


def test_many_threads_with_neighbouring_cam_lines():
    presenter = Presenter(list(range(4096)), Events())
    for thread in range(4096):
        presenter.enable(thread, True)
        presenter.set_w2(thread, 0x10, 0x80000400 + thread)
    assert all(presenter.match(False, 0, 0x400 + thread, 0) == 64 * thread + 0x10 for thread in range(4096))
    for thread in range(0, 4096, 2):
        presenter.set_w2(thread, 0x10, 0x00000400 + thread)
    found = [presenter.match(False, 0, 0x400 + thread, 0) for thread in range(4096)]
    assert found == [64 * thread + 0x10 if thread % 2 else -1 for thread in range(4096)]
