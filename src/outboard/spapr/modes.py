"""What a pseries machine is asked to be: machine type, processor, compatibility level, interrupt mode.

Source: QEMU docs/specs/ppc-spapr-xive, "CAS negotiation"; defaults and refusals as QEMU 7.2 has them, in its words.

Modelled: machine types 2.8 to 7.2. Not modelled: older ones, whose event sources and PHB windows are others.
"""

from enum import StrEnum
from typing import NamedTuple, TypeVar

from outboard.errors import LocalError
from outboard.spec.client_architecture import (
    CPU_MODELS,
    DRCONF_MEMORY,
    DRMEM_V2,
    FORM1_AFFINITY,
    FORM2_AFFINITY,
    HOTPLUG_EVENTS,
    HPT_RESIZE,
    LEVELS,
    MMU_RADIX,
    RADIX_GTSE,
    XIVE_EXPLOITATION,
    CpuModel,
    Level,
    OptionBit,
)

T = TypeVar("T")
Version = tuple[int, int]


class IcMode(StrEnum):
    """Interrupt controllers that a machine has; `LEGACY` is XICS with the numbers of old machine types."""

    LEGACY = "legacy"
    XICS = "xics"
    XIVE = "xive"
    DUAL = "dual"

    @property
    def has_xics(self) -> bool:
        """Whether there is a XICS."""
        return self is not IcMode.XIVE

    @property
    def has_xive(self) -> bool:
        """Whether there is a XIVE."""
        return self in (IcMode.XIVE, IcMode.DUAL)


# Machine types

NEWEST = "pseries-7.2"
_MINORS = {2: (8, 12), 3: (0, 1), 4: (0, 2), 5: (0, 2), 6: (0, 2), 7: (0, 2)}
_VERSIONS = {
    f"pseries-{major}.{minor}": (major, minor)
    for major, (first, last) in _MINORS.items()
    for minor in range(first, last + 1)
} | {"pseries-2.12-sxxm": (2, 12)}

_OLDEST: Version = (2, 8)
_IC_MODE = ((_OLDEST, IcMode.LEGACY), ((3, 1), IcMode.XICS), ((4, 1), IcMode.DUAL))
_VSMT = ((_OLDEST, 8), ((4, 2), 1))
_CPU = ((_OLDEST, "power8"), ((4, 0), "power9"))
_OFFERED = (
    (_OLDEST, (DRCONF_MEMORY, FORM1_AFFINITY, HOTPLUG_EVENTS, DRMEM_V2)),
    ((2, 10), (HPT_RESIZE,)),
    ((6, 2), (FORM2_AFFINITY,)),
)
_PHB_CONNECTORS = ((_OLDEST, False), ((4, 0), True))
_PCI_PROBE_ONLY = ((_OLDEST, False), ((4, 2), True))
"""Each with the version from which on it holds."""


class MachineType(NamedTuple):
    """A machine type: defaults, the bits of option vector 5 that it offers, and what its device tree has."""

    name: str
    ic_mode: IcMode
    vsmt: int
    cpu: str
    offered: tuple[OptionBit, ...]
    phb_connectors: bool
    pci_probe_only: bool


def _at(version: Version, rows: tuple[tuple[Version, T], ...]) -> T:
    return [value for since, value in rows if since <= version][-1]


def machine_type(name: str = NEWEST) -> MachineType:
    """Return a machine type by QEMU's name; "pseries" is the newest. Raises LocalError for one that is not modelled."""
    name = NEWEST if name == "pseries" else name
    if not isinstance(name, str) or name not in _VERSIONS:
        raise LocalError(f"unsupported machine type {name!r}; modelled: {', '.join(_VERSIONS)}")
    version = _VERSIONS[name]
    offered = tuple(bit for since, bits in _OFFERED if since <= version for bit in bits)
    return MachineType(
        name,
        _at(version, _IC_MODE),
        _at(version, _VSMT),
        _at(version, _CPU),
        offered,
        _at(version, _PHB_CONNECTORS),
        _at(version, _PCI_PROBE_ONLY),
    )


# Processors and their levels

_RANK = {level.pvr: rank for rank, level in enumerate(LEVELS)}
_BY_NAME = {level.name: level for level in LEVELS}
_XIVE_LEVEL = _BY_NAME["power9"]


def cpu_model(name: str) -> CpuModel:
    """Return a processor by QEMU's name. Raises LocalError for one that is not modelled."""
    for model in CPU_MODELS:
        if model.name == name:
            return model
    raise LocalError(f"no CPU model {name!r}; there are {', '.join(model.name for model in CPU_MODELS)}")


def is_compatible(model: CpuModel, pvr: int, newest: int = 0, oldest: int = 0) -> bool:
    """Return whether a processor can be of the level that a logical PVR names, between two others; 0 is no bound."""
    rank = _RANK.get(pvr)
    if rank is None or rank > _RANK[_BY_NAME[model.newest].pvr]:
        return False
    return not (newest and rank > _RANK[newest]) and not (oldest and rank < _RANK[oldest])


def is_power9(model: CpuModel, compat_pvr: int) -> bool:
    """Return whether a processor at a level (0: its own) has what POWER9 brought: XIVE and the radix MMU."""
    return is_compatible(model, _XIVE_LEVEL.pvr, compat_pvr)


def max_compat(model: CpuModel, name: str | None) -> int:
    """Return the logical PVR of `max-cpu-compat`, 0 without it. Raises LocalError with QEMU's words."""
    if not name:
        return 0
    level: Level | None = _BY_NAME.get(name)
    if level is None:
        raise LocalError(f'Invalid compatibility mode "{name}"')
    if not is_compatible(model, level.pvr):
        raise LocalError(f"Compatibility PVR 0x{level.pvr:08x} not valid for CPU")
    return level.pvr


# The interrupt mode


def choose(machine: MachineType, model: CpuModel, asked: str | None = None, max_compat_pvr: int = 0) -> IcMode:
    """Return the interrupt mode of a machine whose `ic-mode` is `asked`, None where nothing is.

    Raises LocalError with QEMU's words where QEMU refuses. A dual machine whose CPUs are older than POWER9 is XICS.
    """
    if asked is not None and machine.ic_mode is IcMode.LEGACY:
        raise LocalError("This machine only uses the legacy XICS backend, don't pass ic-mode")
    if asked is not None and asked not in (IcMode.XICS, IcMode.XIVE, IcMode.DUAL):
        raise LocalError('Bad value for "ic-mode" property')
    mode = machine.ic_mode if asked is None else IcMode(asked)
    if mode.has_xive and not is_power9(model, max_compat_pvr):
        if mode is IcMode.XIVE:
            raise LocalError("XIVE-only machines require a POWER9 CPU")
        return IcMode.XICS
    return mode


def offered_bits(machine: MachineType, model: CpuModel, mode: IcMode, max_compat_pvr: int = 0) -> tuple[OptionBit, ...]:
    """Return the bits of option vector 5 that the platform offers."""
    xive = (XIVE_EXPLOITATION,) if mode.has_xive else ()
    radix = (MMU_RADIX, RADIX_GTSE) if is_power9(model, max_compat_pvr) else ()
    return machine.offered + xive + radix
