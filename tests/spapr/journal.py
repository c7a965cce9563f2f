"""A long journal of seeded operations on all kinds of controllers, as one digest a chapter: what they answer, every
line that they tell, their pictures. The same on every machine, in every form of the modules.

python -m tests.spapr.journal            digests, a line each
python -m tests.spapr.journal 17         the lines of chapter 17
"""

import hashlib
import random
import sys
from collections.abc import Iterator

from outboard import core
from outboard.spapr import PAPR, QEMU_7_2, SpaprXive
from tests.spapr.machine import CLAIMS, perform, shown
from tests.spapr.operations import HOSTILE, ORDINARY, Draws, operations

CHAPTERS, OPERATIONS = 50, 1000
PICTURE = 100
"""Operations from one picture to the next."""
KINDS = (
    {"cpus": 1},
    {"cpus": 2},
    {"cpus": 3, "max_cpus": 4, "vsmt": 8},
    {"cpus": 4, "vsmt": 8},
    {"cpus": 4, "host_byteorder": "big"},
    {"cpus": 2, "max_cpus": 3, "flavour": PAPR},
    {"cpus": 2, "esb_shift": 12, "source_flags": 2},
    {"cpus": 2, "esb_shift": 13},
    {"cpus": 2, "esb_shift": 16, "source_flags": 4},
    {"cpus": 2, "source_flags": 6, "flavour": QEMU_7_2},
)


def chapter(number: int) -> Iterator[str]:
    """Yield the lines of one chapter."""
    kind = KINDS[number % len(KINDS)]
    xive = SpaprXive(**kind, sources=CLAIMS)
    draw = Draws(random.Random(number), len(xive.cpus), xive.vsmt, xive.source.shift)
    told: list[str] = []
    xive.events.listen(lambda event, values: told.append(xive.events.line(event, values)))
    kinds = HOSTILE if number // len(KINDS) % 2 else ORDINARY
    pictures = [xive.snapshot()]
    for at, operation in enumerate(operations(draw, OPERATIONS, kinds)):
        answer = perform(xive, *operation)
        yield f"{at} {shown(operation)}: {shown(answer)}"
        yield from told
        told.clear()
        if at % PICTURE == PICTURE - 1:
            pictures.append(xive.snapshot())
            yield f"{pictures[-1].digest()} {len(xive.pic())}"
            yield from told
            told.clear()
            if draw.maybe(0.1):
                xive.restore(draw.one(pictures))
    yield xive.pic()


def digest(number: int) -> str:
    """Return the digest of one chapter."""
    whole = hashlib.blake2b(digest_size=16)
    for line in chapter(number):
        whole.update(line.encode() + b"\n")
    return whole.hexdigest()


def main() -> None:
    """Print what is asked for."""
    if len(sys.argv) > 1:
        print(*chapter(int(sys.argv[1])), sep="\n")
        return
    print(core())
    for number in range(CHAPTERS):
        print(digest(number))


if __name__ == "__main__":
    main()
