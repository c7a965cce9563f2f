"""Cycles on our machine as plain Python, in a process of its own; and the other end of it.

    python -m bench.plain bench.machine.plain CPUS SOURCES

Lines of JSON: it is told a number of sweeps, and answers with seconds, or with what went wrong.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from bench.machine.cycles import BLOCK, ByCalls, CheckFailed, Size
from outboard.errors import OutboardError


class Plain:
    """A process that makes cycles, call by call."""

    def __init__(self, process: "subprocess.Popen[str]", size: Size) -> None:
        self._process = process
        self.cycles, self.unit = BLOCK * size.sources, 1

    def run(self, sweeps: int) -> float:
        """See `Side.run`."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(f"{sweeps}\n")
        self._process.stdin.flush()
        said = self._process.stdout.readline()
        answer = json.loads(said) if said else f"ended with {self._process.wait()}"
        if not isinstance(answer, float):
            raise CheckFailed(f"plain Python: {answer}")
        return answer


@contextmanager
def by_plain(size: Size) -> Iterator[Plain]:
    """Run such a process; it ends with the block."""
    command = [sys.executable, "-m", "bench.plain", "bench.machine.plain", *map(str, size)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Plain(process, size)
        assert process.stdin
        process.stdin.close()


def main(argv: list[str]) -> None:
    """Make cycles as standard input says."""
    side = ByCalls(Size(*map(int, argv)))
    for line in sys.stdin:
        try:
            answer: float | str = side.run(int(line))
        except (CheckFailed, OutboardError) as error:
            answer = str(error)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
