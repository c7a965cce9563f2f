"""Where emulators and PAPR give different answers to the same call: one row a difference, one column a flavour.

Sources: LoPAPR, "XIVE exploitation mode"; what the pseries machines of QEMU 7.2 and 10.0 answer. Where PAPR is silent,
as about a hypervisor's registers, its column has what QEMU 7.2 does.
"""

from typing import NamedTuple


class Difference(NamedTuple):
    """One row: what it is about, and the value that each flavour gives to the switch `name`."""

    name: str
    about: str
    qemu_7_2: bool
    qemu_10_0: bool
    papr: bool


DIFFERENCES = (
    Difference(
        "reset_resets", "H_INT_RESET brings sources, routing and queues back to their initial state", False, False, True
    ),
    Difference("has_reporting_line", "H_INT_SET/GET_OS_REPORTING_LINE are there", False, False, True),
    Difference(
        "generation_from_lsb",
        "H_INT_GET_QUEUE_CONFIG shows the generation in bit 62 counted from the least significant, not from the most",
        True,
        True,
        False,
    ),
    Difference(
        "config_from_queue",
        "H_INT_GET_SOURCE_CONFIG gives target and priority of the queue that the source points to, not what was set",
        True,
        True,
        False,
    ),
    Difference(
        "eisn_starts_as_lisn", "a source that is not configured has its LISN as EISN, not 0", False, False, True
    ),
    Difference(
        "cuts_arguments", "targets are cut to 32 bits, priorities to 8, before they are checked", True, True, False
    ),
    Difference("leaks_host_order", "H_INT_ESB loads and TIMA pulls come in the host's byte order", True, True, False),
    Difference("esb_reaches_neighbour", "H_INT_ESB takes offsets to 0x20000, not below one page", True, True, False),
    Difference("esb_for_any_source", "H_INT_ESB works on sources that do not ask for it", True, True, False),
    Difference("pull_clears_first", "pulling the pool context returns its valid bit already clear", True, True, False),
    Difference(
        "pipr_follows_cppr",
        "PIPR is computed when CPPR is set, that of PHYS from what POOL has pending, too; not at an acknowledge",
        False,
        True,
        False,
    ),
    Difference(
        "nsr_as_a_whole",
        "a notification sets NSR as a whole and an acknowledge clears it, whatever else a store left there",
        False,
        True,
        False,
    ),
    Difference(
        "group_level_in_nsr",
        "an acknowledge takes any NSR that is not 0; with a group level there (its low six bits), IPB stays",
        False,
        True,
        False,
    ),
    Difference(
        "pool_is_presented", "what is pending in POOL is presented by PHYS: its NSR, PIPR and line", False, True, False
    ),
    Difference("esb_of_any_size", "ESB pages take accesses of 1, 2 and 4 bytes, too", False, True, False),
    Difference(
        "unaligned_in_pieces",
        "a CPU's unaligned access is made of aligned pieces; else a load of two of its size, a store of single bytes",
        False,
        True,
        False,
    ),
    Difference("tima_repeats", "the TIMA's special operations are there every 64 bytes", False, True, False),
    Difference(
        "pulls_phys", "a load of 1 byte at 0x838 of the TIMA's HV page pulls the physical context", False, True, False
    ),
    Difference("pool_has_inc_and_age", "INC and AGE of the POOL ring are loaded and stored", False, True, False),
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
    pipr_follows_cppr: bool
    nsr_as_a_whole: bool
    group_level_in_nsr: bool
    pool_is_presented: bool
    esb_of_any_size: bool
    unaligned_in_pieces: bool
    tima_repeats: bool
    pulls_phys: bool
    pool_has_inc_and_age: bool

    def switches(self, *names: str) -> dict[str, bool]:
        """Return some of them by name, as an engine takes them when it is made."""
        return {name: getattr(self, name) for name in names}


assert Flavour._fields[1:] == tuple(row.name for row in DIFFERENCES)

QEMU_7_2 = Flavour("qemu-7.2", *(row.qemu_7_2 for row in DIFFERENCES))
QEMU_10_0 = Flavour("qemu-10.0", *(row.qemu_10_0 for row in DIFFERENCES))
PAPR = Flavour("papr", *(row.papr for row in DIFFERENCES))
FLAVOURS = {flavour.name: flavour for flavour in (QEMU_7_2, QEMU_10_0, PAPR)}
