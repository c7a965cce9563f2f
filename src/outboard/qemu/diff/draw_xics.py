"""Random steps of devices, and of a guest that uses XICS: each of these functions draws one."""

from outboard.qemu.diff.draw import EVENTS, LSIS, MSIS, STRANGERS, Draw, hcall
from outboard.qemu.diff.steps import RTAS_CALLS, Step
from outboard.spec.papr import XICS_HCALLS, XICS_RTAS_CALLS

# Devices


def pulse(draw: Draw) -> Step:
    """A device's MSI."""
    return Step("pulse", (draw.cpu(), draw.one((*EVENTS, *LSIS, *MSIS, *MSIS))))


def level(draw: Draw) -> Step:
    """A device's line."""
    return Step("line", (draw.cpu(), draw.below(2), draw.below(2)))


def claim(draw: Draw) -> Step:
    """MSIs come and go."""
    return Step(draw.one(("claim", "claim", "free")), (draw.cpu(), 2 + draw.below(2)))


# XICS


def xics_call(draw: Draw) -> Step:
    """Make any of XICS's calls, mostly with what makes sense."""
    row = draw.one(XICS_HCALLS)
    priorities = (0, 3, 4, 5, 5, 6, 7, 0xFE, 0xFF, 0xFF)
    numbers = (*draw.lisns, 0, 2, 0x2000, 0xFFFFFF)
    some = {
        "xirr": draw.one((*priorities, 0xFF, 0xFF)) << 24 | draw.one(numbers),
        "cppr": draw.one((*priorities, 0x105, (1 << 64) - 1)),
        "mfrr": draw.one((*priorities, 0x105)),
        "server": draw.server(),
    }
    return hcall(draw, row.name, *(some[name] for name in row.arguments))


def xics_take(draw: Draw) -> Step:
    """Take what is there and end it."""
    return Step("take", (draw.cpu(),))


def open_up(draw: Draw) -> Step:
    """Let everything in."""
    return hcall(draw, "H_CPPR", 0xFF)


def quiet(draw: Draw) -> Step:
    """Withdraw the request for an IPI."""
    return hcall(draw, "H_IPI", draw.server(), 0xFF)


def xics_rtas(draw: Draw) -> Step:
    """Route by RTAS, mask and unmask."""
    row = draw.one((*XICS_RTAS_CALLS, *(row for row in XICS_RTAS_CALLS if row.name == "ibm,set-xive")))
    some = {
        "number": draw.one((*EVENTS, *LSIS, *MSIS, *STRANGERS[1:]) if draw.maybe(0.93) else (2, 0xFFF, 0x2000)),
        "server": draw.server() & 0xFFFFFFFF,
        "priority": draw.one((0, 3, 4, 5, 5, 6, 7, 0xFE, 0xFF)) if draw.maybe(0.95) else 0x100,
    }
    arguments = [some[name] for name in row.arguments]
    nargs, nret = len(arguments), len(row.results)
    if draw.maybe(0.05):
        nargs, nret = draw.one((0, 1, 3)), draw.below(4)
    return Step("rtas", (draw.cpu(), RTAS_CALLS[row.name], nargs, nret, *arguments))
