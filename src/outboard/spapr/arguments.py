"""What callers give us, checked before anything is done with it."""

from outboard.errors import LocalError

ALL_ONES = 0xFFFFFFFF_FFFFFFFF


def whole(value: object, what: str, last: int, first: int = 0) -> int:
    """Return `value`, a whole number from `first` to `last`. Raises LocalError when it is anything else."""
    if not isinstance(value, int) or not first <= value <= last:
        raise LocalError(f"{what} is a whole number from {first} to {last}, not {value!r}")
    return int(value)


def source_number(value: object, nr_irqs: int) -> int:
    """Return `value`, a LISN. Raises LocalError when there is no such number."""
    if not isinstance(value, int):
        raise LocalError(f"a LISN is a whole number, not {value!r}")
    if not 0 <= value < nr_irqs:
        raise LocalError(f"LISN {value:#x} does not exist; there are 0 to {nr_irqs - 1:#x}")
    return int(value)


def register(value: object) -> int:
    """Return `value`, which a register of 64 bits can hold. Raises LocalError when none can."""
    if not isinstance(value, int) or not 0 <= value <= ALL_ONES:
        raise LocalError(f"a register holds 0 to 2**64 - 1, not {value!r}")
    return int(value)
