"""One run of the kit: choose checks, run them, write what came out. Shared by `check backend` and `check frontend`."""

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from outboard.conformance.check import Check, Checks, Context, Result, Status, run_one
from outboard.conformance.known import Known
from outboard.conformance.report import OK, Report, exit_code, listing, terminal, to_json, to_junit

Open = Callable[[], AbstractContextManager[Context]]


def show(checks: Checks, options: argparse.Namespace) -> int:
    """List the checks that the options choose; return the exit code."""
    sys.stdout.write(listing(checks.only(options.only)))
    return OK


def never() -> bool:
    """No failure is repeated."""
    return False


def conduct(
    checks: Checks,
    options: argparse.Namespace,
    peer: str,
    opened: Open,
    known: Sequence[Known],
    worn: Callable[[], bool] = never,
) -> int:
    """Run the checks that the options choose, each on a context of its own; return the exit code.

    options: only, json, junit, no_robustness, verbose, as `cli.check` declares them. worn: called after a failure,
    whether the peer has a past that may be the reason; the check is repeated then. Raises PeerUnusable.
    """
    results = tuple(_results(checks.only(options.only), opened, worn))
    report = Report(peer, results, tuple(known))
    robustness = not options.no_robustness
    text = to_json(report) + "\n" if options.json else terminal(report, verbose=options.verbose, robustness=robustness)
    sys.stdout.write(text)
    if options.junit:
        with open(options.junit, "w", encoding="utf-8") as file:
            file.write(to_junit(report, robustness))
    return exit_code(report, robustness)


def _results(chosen: Sequence[Check], opened: Open, worn: Callable[[], bool]) -> list[Result]:
    """Run the checks; who watches a terminal sees which one runs."""
    results: list[Result] = []
    watched = sys.stderr.isatty()
    for at, check in enumerate(chosen, 1):
        if watched:
            failed = sum(one.status == Status.FAIL for one in results)
            sys.stderr.write(f"\r\033[K{at}/{len(chosen)} {failed} failed  {check.id}")
            sys.stderr.flush()
        result = run_one(check, opened)
        if result.status == Status.FAIL and worn():
            result = run_one(check, opened)
        results.append(result)
    if watched:
        sys.stderr.write("\r\033[K")
    return results
