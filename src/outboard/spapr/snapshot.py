"""A picture of a controller's state: its tables as they stand, comparable, hashable, to be restored."""

import hashlib
from dataclasses import dataclass

from outboard.guest.pages import Pages


@dataclass(frozen=True, eq=True)
class Snapshot:
    """State of one controller. Two are equal when everything is; `digest` is the same on every machine.

    shape: what must agree for a restore; tables: flat, in hardware layout; pages: RAM that is the controller's own,
    by page of 4 KiB, without pages that are all zero.
    """

    shape: tuple[int | str, ...]
    tables: dict[str, bytes]
    regions: tuple[bool, bool, bool]
    negotiated: bool
    order: tuple[int, ...]
    problem_states: bytes
    reporting_lines: tuple[int, ...]
    pages: Pages

    def digest(self) -> str:
        """Return a hash of everything, 32 hexadecimal digits."""
        digest = hashlib.blake2b(digest_size=16)
        switches = [*map(int, self.regions), int(self.negotiated)]
        rest = (self.shape, switches, self.order, self.problem_states.hex(), self.reporting_lines)
        digest.update(repr(rest).encode())
        for name, table in sorted(self.tables.items()):
            digest.update(f"{name} {len(table)} ".encode() + table)
        for page, data in sorted(self.pages.items()):
            digest.update(f"page {page} {len(data)} ".encode() + data)
        return digest.hexdigest()

    def __hash__(self) -> int:
        return int(self.digest()[:15], 16)
