"""Sequences of steps that mean something: a machine is set up, worn out by what is random, and set up anew."""

from collections.abc import Callable, Iterator

from outboard.qemu.diff.draw import EVENTS, MANAGE, PAGES, Draw, hcall
from outboard.qemu.diff.draw_xics import claim, level, open_up, pulse, quiet, xics_call, xics_rtas, xics_take
from outboard.qemu.diff.draw_xive import (
    OS,
    accept,
    border,
    burst,
    contexts,
    end_page,
    entry,
    esb_call,
    manage_load,
    manage_store,
    query,
    repeat,
    set_cppr,
    set_queue,
    set_source,
    tima,
    trigger,
    wrong_call,
    wrong_size,
)
from outboard.qemu.diff.steps import HCALLS, RTAS_CALLS, Step
from outboard.spapr.modes import IcMode
from outboard.spec.papr import ESB_BASE

SEGMENT = 2000
"""Steps between two starts of the machine."""

Kind = Callable[[Draw], Step]
DEVICES: dict[Kind, int] = {pulse: 8, level: 6, claim: 1}
OF_XIVE: dict[Kind, int] = {
    trigger: 14,
    manage_load: 14,
    manage_store: 4,
    wrong_size: 1,
    repeat: 1,
    border: 1,
    accept: 12,
    set_cppr: 9,
    tima: 5,
    contexts: 1,
    set_source: 8,
    set_queue: 4,
    esb_call: 6,
    query: 4,
    wrong_call: 2,
    entry: 2,
    end_page: 1,
}
OF_XICS: dict[Kind, int] = {xics_call: 16, xics_rtas: 14, xics_take: 12, open_up: 4, quiet: 2}
STRAY: dict[Kind, int] = dict.fromkeys((query, set_source, end_page, trigger, manage_load, accept), 1)
"""How often each kind is drawn; a guest of one mode seldom does what the other mode's does."""


def _table(*weights: dict[Kind, int]) -> list[Kind]:
    return [kind for some in weights for kind, weight in some.items() for _ in range(weight)]


TABLES = {True: _table(DEVICES, OF_XIVE, {xics_call: 1, xics_rtas: 1}), False: _table(DEVICES, OF_XICS, STRAY)}


# Sequences


def route_all(draw: Draw) -> Iterator[Step]:
    """Bring a machine to a state in which most events are delivered."""
    for cpu in range(draw.cpus):
        server = cpu * draw.vsmt
        if draw.xive:
            for priority in (5, 6):
                size = draw.one((12, 12, 16))
                flags = draw.one((1, 1, 1, 0))
                queue = draw.queue(server, priority, size)
                yield hcall(draw, "H_INT_SET_QUEUE_CONFIG", flags, server, priority, queue, size)
            yield Step("store", (cpu, OS + 0x11, 1, 0xFF))
        else:
            yield Step("hcall", (cpu, HCALLS["H_CPPR"], 0xFF))
    for number, lisn in enumerate(draw.lisns):
        server = draw.cpu() * draw.vsmt
        if draw.xive:
            yield hcall(draw, "H_INT_SET_SOURCE_CONFIG", 2, lisn, server, draw.one((5, 6)), 0x10 + number)
            yield Step("load", (draw.cpu(), ESB_BASE + lisn * PAGES + MANAGE + 0xC00, 8))
        elif lisn >= EVENTS[0]:
            priority = draw.one((3, 5))
            yield Step("rtas", (draw.cpu(), RTAS_CALLS["ibm,set-xive"], 3, 1, lisn, server, priority))


def negotiate(draw: Draw) -> Step:
    """Choose an interrupt mode that the machine has."""
    draw.xive = draw.mode.has_xive and (not draw.mode.has_xics or draw.maybe(0.6))
    return Step("cas", (int(draw.xive),))


def begin(draw: Draw) -> Iterator[Step]:
    """What is done after a start: seldom anything before the negotiation."""
    draw.xive = draw.mode is IcMode.XIVE
    for _ in range(draw.below(20) if draw.maybe(0.2) else 0):
        yield draw.one(TABLES[draw.maybe(0.5)])(draw)
    yield negotiate(draw)
    yield from route_all(draw)


def segment(draw: Draw, count: int = SEGMENT) -> list[Step]:
    """Return about so many steps that begin with a machine that was started. What is random wears it out: sources
    end up masked, CPUs closed; so all is routed anew at times, and rarely negotiated or reset."""
    steps = list(begin(draw))
    while len(steps) < count:
        for _ in range(80):
            steps.append(draw.one(TABLES[draw.xive])(draw))
        chance = draw.below(100)
        if chance < 2:
            steps += [Step("reset"), *begin(draw)]
        elif chance < 8:
            steps.append(negotiate(draw))
        if chance < 70:
            steps += route_all(draw)
        if draw.xive and draw.maybe(0.06):
            steps.append(burst(draw))
    return steps[:count]
