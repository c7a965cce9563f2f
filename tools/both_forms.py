"""Run the tests against the compiled form and, at the same time, those that can tell against the plain form.

What the plain form prints follows what the compiled form prints. Exit code: 0 when both passed, 1 when not.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import BinaryIO

PYTEST = ["-m", "pytest"]
COMPILED = [".venv/bin/python", *PYTEST]
PLAIN = [".venv-plain/bin/python", *PYTEST, "-m", "not alike", "-o", "cache_dir=.venv-plain/.pytest_cache"]


def start(command: list[str], variable: str, output: BinaryIO | None = None) -> "subprocess.Popen[bytes]":
    """Start the tests of one form."""
    return subprocess.Popen([*command, *sys.argv[1:]], env=os.environ | {variable: "1"}, stdout=output, stderr=output)


def main() -> int:
    """Run both; return the exit code."""
    print("== tests, compiled form; those of the plain form run meanwhile", flush=True)
    with tempfile.NamedTemporaryFile() as said:
        both = {"compiled": start(COMPILED, "REQUIRE_CYTHON"), "plain": start(PLAIN, "SKIP_CYTHON", said)}
        try:
            failed = [name for name, process in both.items() if process.wait()]
        except KeyboardInterrupt:  # They have got it too.
            for process in both.values():
                process.wait()
            failed = [*both]
        print("== tests, plain form", flush=True)
        sys.stdout.buffer.write(Path(said.name).read_bytes())
        sys.stdout.flush()
    if failed:
        print(f"outboard: tests failed: {' '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
