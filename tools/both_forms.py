"""Run the tests against the compiled form, and those that can tell against the plain form, in two lanes at a time.

What the second lane prints follows what the first one prints. Arguments go to pytest, and to two runs only; without
any a third one evens the lanes out: the conformance kit's own tests mostly wait. Exit code: 0 all passed, 1 not.
"""

import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from typing import IO, NamedTuple

APART = "tests/conformance"
NO_TESTS = 5
"""Exit code of pytest when the arguments choose none."""


class Run(NamedTuple):
    """One run of pytest: what it is of, the environment's folder, the variable that insists on the form, arguments."""

    name: str
    folder: str
    variable: str
    arguments: tuple[str, ...] = ()


def compiled(name: str, *arguments: str) -> Run:
    """Return a run of the compiled form."""
    return Run(f"compiled form{name}", ".venv", "REQUIRE_CYTHON", arguments)


PLAIN = Run("plain form", ".venv-plain", "SKIP_CYTHON", ("-m", "not alike"))
LANES = ((compiled(f", all but {APART}", f"--ignore={APART}"),), (PLAIN, compiled(f", {APART}", APART)))
CHOSEN = ((compiled(""),), (PLAIN,))
"""When arguments choose the tests."""


def run(lane: tuple[Run, ...], output: IO[bytes] | None = None) -> list[str]:
    """Make the runs of a lane, one after the other; return the names of those that failed."""
    failed = []
    for one in lane:
        command = [f"{one.folder}/bin/python", "-m", "pytest", "-o", f"cache_dir={one.folder}/.pytest_cache"]
        command += [*one.arguments, *sys.argv[1:]]
        os.write(output.fileno() if output else 1, f"== tests, {one.name}\n".encode())
        done = subprocess.run(command, env=os.environ | {one.variable: "1"}, stdout=output, stderr=output)
        if done.returncode not in (0, NO_TESTS):
            failed.append(one.name)
    return failed


def main() -> int:
    """Make all runs; return the exit code."""
    first, second = CHOSEN if sys.argv[1:] else LANES
    with tempfile.TemporaryFile() as said, ThreadPoolExecutor(1) as pool:
        meanwhile = pool.submit(run, second, said)
        failed = run(first)
        failed += meanwhile.result()
        said.seek(0)
        sys.stdout.buffer.write(said.read())
        sys.stdout.flush()
    for name in failed:
        print(f"outboard: tests failed: {name}")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # The tests have heard it too, and told what they know.
        sys.exit(130)
