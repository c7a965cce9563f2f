"""What the benchmarks' programs share: options, exit codes, how results are printed."""

import argparse
from collections.abc import Iterable, Iterator, Sequence

from bench.results import Result, heading

MISSED, FAILED = 1, 3


def parser(program: str, description: str, names: Iterable[str]) -> argparse.ArgumentParser:
    """Return a parser of the names of benchmarks and the options that all programs have."""
    made = argparse.ArgumentParser(
        prog=program, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("names", nargs="*", metavar="NAME", help=f"benchmarks to run: {', '.join(names)}")
    made.add_argument("--json", action="store_true", help="print one JSON object for each benchmark")
    made.add_argument("--rounds", type=int, default=15, help="samples of each (default: %(default)s)")
    return made


def parse(made: argparse.ArgumentParser, names: Iterable[str], argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line; unknown names and impossible numbers end the program with a sentence."""
    known = list(names)
    parsed = made.parse_args(argv)
    if unknown := set(parsed.names) - set(known):
        made.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    if parsed.rounds < 1:
        made.error("--rounds takes a number from 1 on")
    return parsed


def report(results: Iterator[Result], columns: Sequence[str], *, as_json: bool) -> int:
    """Print results as they come; return the exit code: 0 all goals met, 1 one is missed, 3 a benchmark failed."""
    if not as_json:
        print(heading(columns), flush=True)
    done = []
    for result in results:
        done.append(result)
        print(result.json() if as_json else "\n".join(result.lines(columns)), flush=True)
    if any(result.failed for result in done):
        return FAILED
    return MISSED if any(goal.met is False for result in done for goal in result.goals) else 0
