"""A picture of a XICS: its tables as they stand, comparable, hashable, to be restored."""

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, eq=True)
class Snapshot:
    """State of one controller. Two are equal when everything is; `digest` is the same on every machine.

    shape: what must agree for a restore; tables: flat, words of 32 bits little-endian; order: CPUs as plugged.
    """

    shape: tuple[tuple[int, ...], int, int, bool]
    tables: dict[str, bytes]
    order: tuple[int, ...]

    def digest(self) -> str:
        """Return a hash of everything, 32 hexadecimal digits."""
        digest = hashlib.blake2b(repr((self.shape, self.order)).encode(), digest_size=16)
        for name, table in sorted(self.tables.items()):
            digest.update(f"{name} {len(table)} ".encode() + table)
        return digest.hexdigest()

    def __hash__(self) -> int:
        return int(self.digest()[:15], 16)
