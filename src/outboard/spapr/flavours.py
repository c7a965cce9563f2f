"""Where emulators and PAPR give different answers to the same call: one row a difference, one column a flavour.

Sources: LoPAPR, "XIVE exploitation mode"; what QEMU 7.2's pseries machine answers.
"""

from typing import NamedTuple


class Difference(NamedTuple):
    """One row: what it is about, and the value that each flavour gives to the switch `name`."""

    name: str
    about: str
    qemu_7_2: bool
    papr: bool


DIFFERENCES = (
    Difference(
        "reset_resets", "H_INT_RESET brings sources, routing and queues back to their initial state", False, True
    ),
    Difference("has_reporting_line", "H_INT_SET/GET_OS_REPORTING_LINE are there", False, True),
    Difference(
        "generation_from_lsb",
        "H_INT_GET_QUEUE_CONFIG shows the generation in bit 62 counted from the least significant, not from the most",
        True,
        False,
    ),
    Difference(
        "config_from_queue",
        "H_INT_GET_SOURCE_CONFIG gives target and priority of the queue that the source points to, not what was set",
        True,
        False,
    ),
    Difference("eisn_starts_as_lisn", "a source that is not configured has its LISN as EISN, not 0", False, True),
    Difference("cuts_arguments", "targets are cut to 32 bits, priorities to 8, before they are checked", True, False),
    Difference("leaks_host_order", "H_INT_ESB loads and TIMA pulls come in the host's byte order", True, False),
    Difference("esb_reaches_neighbour", "H_INT_ESB takes offsets to 0x20000, not below one page", True, False),
    Difference("esb_for_any_source", "H_INT_ESB works on sources that do not ask for it", True, False),
    Difference("pull_clears_first", "pulling the pool context returns its valid bit already clear", True, False),
)
"""Every difference. PAPR's H_STATE and H_BUSY are allowed answers that no flavour has a reason to give."""


class Flavour(NamedTuple):
    """The switches of one flavour, by the names of the rows."""

    name: str
    reset_resets: bool
    has_reporting_line: bool
    generation_from_lsb: bool
    config_from_queue: bool
    eisn_starts_as_lisn: bool
    cuts_arguments: bool
    leaks_host_order: bool
    esb_reaches_neighbour: bool
    esb_for_any_source: bool
    pull_clears_first: bool


assert Flavour._fields[1:] == tuple(row.name for row in DIFFERENCES)

QEMU_7_2 = Flavour("qemu-7.2", *(row.qemu_7_2 for row in DIFFERENCES))
PAPR = Flavour("papr", *(row.papr for row in DIFFERENCES))
FLAVOURS = {flavour.name: flavour for flavour in (QEMU_7_2, PAPR)}
