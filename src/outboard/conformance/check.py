"""Checks as a table, and what became of one: the frame that the checks of back-ends and of front-ends share.

A check is a function on a context. It returns when the peer does what `says` asks for, and raises otherwise. The
context is a fresh peer with a connection, as the area needs it; `run_one` opens and closes it.
"""

import fnmatch
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from outboard.errors import LocalError, OutboardError, ProtocolError

VHOST_USER = "QEMU docs/interop/vhost-user"
VHOST_USER_GPU = "QEMU docs/interop/vhost-user-gpu"
VIRTIO = "VIRTIO-1.2"
GRACE_S = 0.2
"""After a failure: a peer that closed its sockets may be about to end."""


class Severity(StrEnum):
    """How much it matters. robustness: no document asks for it, a hostile or unlucky peer does."""

    MUST = "must"
    SHOULD = "should"
    ROBUSTNESS = "robustness"


MUST, SHOULD, ROBUSTNESS = Severity.MUST, Severity.SHOULD, Severity.ROBUSTNESS


class Status(StrEnum):
    """How a check ended."""

    PASS = "pass"
    FAIL = "fail"
    SKIP = "skip"


class Check(NamedTuple):
    """One check. says: the requirement, one sentence; run: called with the context."""

    id: str
    document: str
    section: str
    severity: Severity
    says: str
    run: Callable[[Any], None]

    @property
    def area(self) -> str:
        """First word of the id."""
        return self.id.partition(".")[0]


class Result(NamedTuple):
    """What became of one check. exchange: what went over the wire, decoded, last line last; seconds: it took."""

    check: Check
    status: Status
    expected: str
    got: str
    exchange: tuple[str, ...]
    seconds: float


class Failed(Exception):
    """The peer does something else than it has to."""

    def __init__(self, expected: str, got: str) -> None:
        super().__init__(f"expected {expected}, got {got}")
        self.expected = expected
        self.got = got


class NotApplicable(Exception):
    """The check says nothing about this peer; the message says why."""


class PeerUnusable(OutboardError):
    """The peer cannot be started or reached at all, so that nothing can be said about it."""


def expect(condition: object, expected: str, got: object) -> None:
    """Raise Failed unless `condition` holds."""
    if not condition:
        raise Failed(expected, str(got))


class Context(Protocol):
    """What a check runs on, as `run_one` sees it."""

    def exchange(self) -> tuple[str, ...]:
        """Return what went over the wire, decoded."""

    def fate(self, grace_s: float = 0) -> str:
        """Return what became of the peer when it has ended although it should not have; "" while all is well.

        grace_s: how long to wait for the end of one that may be dying.
        """


class Checks:
    """A table of checks in the order in which they run; ids are unique."""

    def __init__(self, *parts: "Checks") -> None:
        self._rows: dict[str, Check] = {}
        for part in parts:
            for row in part:
                self._add(row)

    def _add(self, row: Check) -> None:
        if row.id in self._rows:
            raise LocalError(f"two checks with the id {row.id}")
        self._rows[row.id] = row

    def check(
        self, check_id: str, document: str, section: str, severity: Severity
    ) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
        """Register a function as a check; the first line of its docstring is what it `says`."""

        def register(run: Callable[[Any], None]) -> Callable[[Any], None]:
            self.add(check_id, document, section, severity, (run.__doc__ or "").strip().partition("\n")[0], run)
            return run

        return register

    def add(
        self, check_id: str, document: str, section: str, severity: Severity, says: str, run: Callable[[Any], None]
    ) -> None:
        """Register a check of a family that differs in values only. Raises LocalError without a sentence."""
        if not says.endswith("."):
            raise LocalError(f"{check_id}: a check says what it asks for, in one sentence")
        self._add(Check(check_id, document, section, severity, says, run))

    def __iter__(self) -> Iterator[Check]:
        return iter(self._rows.values())

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, check_id: str) -> Check:
        return self._rows[check_id]

    def only(self, patterns: Sequence[str]) -> list[Check]:
        """Return the checks whose id matches a pattern, all without one. Raises LocalError when none does."""
        chosen = [row for row in self if not patterns or any(fnmatch.fnmatchcase(row.id, one) for one in patterns)]
        if not chosen:
            raise LocalError(f"no check is called {' or '.join(patterns)}; see --list")
        return chosen


def run_one(check: Check, opened: Callable[[], AbstractContextManager[Context]]) -> Result:
    """Run a check on a context of its own. Raises PeerUnusable; every other failure is in the result."""
    start = time.monotonic()
    with opened() as context:
        status, expected, got = _judge(check, context)
        return Result(check, status, expected, got, context.exchange(), time.monotonic() - start)


def _judge(check: Check, context: Context) -> tuple[Status, str, str]:
    """Return status, expected and got; a peer that ended is said so in `got`, and fails a check that went well."""
    try:
        check.run(context)
    except NotApplicable as why:
        return Status.SKIP, "", str(why)
    except PeerUnusable:
        raise
    except Failed as failure:
        expected, got = failure.expected, failure.got
    except ProtocolError as error:
        expected, got = f"{error.request}: {error.expected}", error.got
    except (OutboardError, OSError) as error:
        expected, got = check.says.rstrip("."), str(error)
    except Exception as error:  # a fault of the kit, which must not take the whole report with it
        expected, got = check.says.rstrip("."), f"what the kit does not understand; please report this: {error!r}"
    else:
        if not (fate := context.fate()):
            return Status.PASS, "", ""
        return Status.FAIL, "the peer goes on", fate
    fate = context.fate(GRACE_S)
    return Status.FAIL, expected, f"{got}; {fate}" if fate and fate not in got else got
