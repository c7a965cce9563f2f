"""Contexts that are wrong on purpose, each by one rule: what the programs of `programs` are themselves checked with.

python -m tests.aio.mutants NAME [--limit N]     0: its program fails, how is printed; 1: it does not
python -m tests.aio.mutants all                  all of them

A mutant is the package with some text of its sources replaced.
"""

import argparse
import subprocess
import sys
from typing import NamedTuple

from tests.conformance.mutants import Edit, insist

WITHIN = 3000
"""Schedules within which each has to be found."""


class Mutant(NamedTuple):
    """One wrong rule. program: the one that fails."""

    name: str
    rule: str
    program: str
    edits: tuple[Edit, ...]


MUTANTS: dict[str, Mutant] = {}
CONTEXT, HALVES, TIMERS, FDS, LOCK = (
    f"aio.{name}" for name in ("context", "bottom_halves", "timers", "fd_handlers", "lock")
)
HOME, WAIT, COROUTINE = "aio.home", "aio.wait", "aio.coroutine"


def _mutant(program: str, name: str, rule: str, *edits: tuple[str, str, str]) -> None:
    assert name not in MUTANTS, name
    MUTANTS[name] = Mutant(name, rule, program, tuple(Edit(*edit) for edit in edits))


# Waiting

_mutant(
    "no_bottom_half_is_lost",
    "looks_before_it_says_so",
    "A context says that it sleeps after it has looked for work.",
    (
        CONTEXT,
        "            self._sleeping = True\n            timeout_ns = self._timeout_ns(limit_ns)\n        self._wait",
        "            timeout_ns = self._timeout_ns(limit_ns)\n            self._sleeping = True\n        self._wait",
    ),
)
_mutant(
    "oneshots_run_once_in_order",
    "wakes_before_it_queues",
    "A bottom half wakes the context, then joins the queue.",
    (
        HALVES,
        "        self.queue.append(half)\n        self._wake()",
        "        self._wake()\n        self.queue.append(half)",
    ),
)
_mutant(
    "oneshots_run_once_in_order",
    "wakes_nobody",
    "A bottom half does not wake the context.",
    (HALVES, "        self.queue.append(half)\n        self._wake()", "        self.queue.append(half)"),
)
_mutant(
    "notify_ends_a_poll",
    "notify_is_forgotten",
    "A notification before the wait is not looked at.",
    (CONTEXT, "if self._halves.queue or self._notified or self._ready:", "if self._halves.queue or self._ready:"),
)
_mutant(
    "a_notified_context_makes_a_round",
    "notify_marks_late",
    "A notification wakes first and is noted afterwards.",
    (
        CONTEXT,
        "        self._notified = True\n        self._wake()",
        "        self._wake()\n        self._notified = True",
    ),
)
_mutant(
    "a_nested_poll_runs_what_is_ready",
    "nested_polls_sleep",
    "A nested poll sleeps although fds are ready that the outer one was told of.",
    (CONTEXT, "if self._halves.queue or self._notified or self._ready:", "if self._halves.queue or self._notified:"),
)

_mutant(
    "notify_ends_a_look",
    "looking_forgets_notices",
    "A notice that comes while the context looks for work is forgotten.",
    (CONTEXT, "            self._wait(0)\n", "            self._wait(0)\n            self._notified = False\n"),
)
_mutant(
    "looking_for_work_overlooks_none",
    "looking_sleeps_at_once",
    "A context that has looked for work sleeps without saying so.",
    (
        CONTEXT,
        "        if not progress:\n            self._sleeping = True\n            timeout",
        "        if not progress:\n            timeout",
    ),
)

# Fds

_mutant(
    "no_handler_after_removal",
    "removed_handlers_run",
    "A handler that was ready when it was removed runs.",
    (FDS, "return handler.live and not (handler.external", "return not (handler.external"),
)
_mutant(
    "a_number_is_reused_in_a_nested_poll",
    "numbers_are_trusted",
    "What a wait reports is told to whoever has the number afterwards.",
    (FDS, "if handler.wait == self.waits:", "if False:"),
)
_mutant(
    "a_number_is_reused_in_a_nested_poll",
    "doubtful_events_are_dropped",
    "What may be of a closed fd is dropped, not asked for again.",
    (FDS, "                self.park(handler)\n                self.unpark(handler)\n", "                pass\n"),
)
_mutant(
    "nothing_external_while_disabled",
    "external_runs",
    "An external handler that was ready when it was disabled runs.",
    (FDS, "return handler.live and not (handler.external and self.external_disabled)", "return handler.live"),
)
_mutant(
    "nothing_external_while_disabled",
    "external_is_waited_for",
    "External fds are waited for while they are disabled, so their kicks are used up.",
    (FDS, "            if self.external_disabled == 1:", "            if False:"),
)
_mutant(
    "nothing_external_while_disabled",
    "enabled_at_once",
    "One `enable_external` undoes all that were disabled.",
    (FDS, "            self.external_disabled -= 1", "            self.external_disabled = 0"),
)
_mutant(
    "nothing_external_while_disabled",
    "enabled_unheard",
    "External fds are not waited for again.",
    (
        FDS,
        "                    self._wait_for(handler)\n                except",
        "                    pass\n                except",
    ),
)

# Bottom halves

_mutant(
    "no_bottom_half_is_lost",
    "marked_done_afterwards",
    "A bottom half counts as scheduled until its call has ended.",
    (
        HALVES,
        "                half.scheduled = False\n                if half.call is not None:\n"
        '                    progress = True\n                    make("bottom half", half.call)\n',
        "                if half.call is not None:\n"
        '                    progress = True\n                    make("bottom half", half.call)\n'
        "                half.scheduled = False\n",
    ),
)
_mutant(
    "nothing_cancelled_or_deleted_runs",
    "cancelled_halves_run",
    "A cancelled bottom half runs.",
    (HALVES, "            if half.scheduled:\n", "            if True:\n"),
)
_mutant(
    "nothing_cancelled_or_deleted_runs",
    "deleted_halves_run",
    "A bottom half can be scheduled after it was deleted.",
    (HALVES, "        self.call = None\n        self.scheduled = False", "        self.scheduled = False"),
)
_mutant(
    "a_round_ends",
    "rounds_go_on",
    "A round runs the bottom halves that it schedules.",
    (HALVES, "        while self._taken < end:\n", "        while self.queue:\n"),
)
_mutant(
    "oneshots_run_once_in_order",
    "last_comes_first",
    "Bottom halves run last first.",
    (HALVES, "self.queue.popleft()", "self.queue.pop()"),
)

# Timers

_mutant(
    "timers_in_order",
    "timers_as_they_come",
    "Timers run in the order in which they were armed.",
    (
        TIMERS,
        "            heapq.heappush(self.queue, (expire_ns, self._order, timer))",
        "            self.queue.append((expire_ns, self._order, timer))",
    ),
)
_mutant(
    "timers_in_order",
    "armed_twice",
    "A timer that is armed anew runs for the time before, too.",
    (TIMERS, "return entry[2].order == entry[1] and entry[2]", "return entry[2]"),
    (TIMERS, "                    entry[2].expire_ns = None\n                    return", "                    return"),
)
_mutant(
    "timers_in_order",
    "disarmed_afterwards",
    "A timer is disarmed after its call, which may have armed it.",
    (
        TIMERS,
        "        while call := self._take(now_ns, last):\n            progress = True\n"
        '            make("timer", call)\n',
        "        while entry := self._take(now_ns, last):\n            progress = True\n"
        '            make("timer", entry.call)\n            entry.expire_ns = None\n',
    ),
    (
        TIMERS,
        "                    entry[2].expire_ns = None\n                    return entry[2].call",
        "                    return entry[2]",
    ),
)
_mutant(
    "timers_wake_their_context",
    "timers_wake_nobody",
    "A timer that is due before the others does not wake the context.",
    (TIMERS, "        if first:\n", "        if False:\n"),
)
_mutant(
    "timers_in_order",
    "anticipated_always",
    "Anticipating makes a timer later.",
    (TIMERS, "timer.expire_ns <= expire_ns)", "timer.expire_ns > expire_ns)"),
)
_mutant(
    "nothing_cancelled_or_deleted_runs",
    "disarmed_timers_run",
    "A timer runs that was disarmed.",
    (TIMERS, " and entry[2].expire_ns is not None", ""),
)
_mutant(
    "a_round_ends",
    "timers_go_on",
    "A round runs the timers that it arms.",
    (TIMERS, "                if entry[1] > last:", "                if False:"),
)
_mutant(
    "timers_wait_for_their_turn_in_nested_polls",
    "put_aside_for_good",
    "Timers that the round has put aside do not count in a poll inside it.",
    (CONTEXT, "        if not self._timers.queue and not self._timers.later:", "        if not self._timers.queue:"),
)

# Other threads

_mutant(
    "who_acquires_is_alone",
    "acquired_by_two",
    "Acquiring does not wait.",
    (
        LOCK,
        "                    self._mutex.acquire()\n                finally",
        "                    pass\n                finally",
    ),
    (LOCK, "            self._mutex.release()", "            self._mutex.__init__(self._mutex._sim)"),
)
_mutant(
    "who_acquires_is_alone",
    "released_at_once",
    "The first release gives back all.",
    (LOCK, "        if not self.depth:\n", "        if self.depth:\n            self.depth = 0\n        if True:\n"),
    (LOCK, '        assert self.owner == self._ident(), "released by a thread that has not acquired it"\n', ""),
    (LOCK, "            self._mutex.release()", "            self._mutex._taken = False"),
)
_mutant(
    "whoever_waits_is_woken",
    "waits_with_the_context",
    "Who waits keeps what it has acquired.",
    (WAIT, "ctx.lock.release_all() if mine is not ctx else 0", "0"),
)
_mutant(
    "whoever_waits_is_woken",
    "only_threads_are_kicked",
    "A kick does not reach who waits in a callback.",
    (WAIT, "    wake = mine.notify\n", "    wake = lambda: None\n"),
)
_mutant(
    "whoever_waits_is_woken",
    "one_kick_is_enough",
    "Who waits is kicked once.",
    (WAIT, "        self._asleep.acquire()\n        self._rung = False", "        self._asleep.acquire()"),
)

# Homes

_mutant(
    "a_home_moves_as_one",
    "moves_without_asking",
    "A home is moved while its callbacks may run.",
    (
        HOME,
        "            ctx.acquire()\n            if self.context is ctx:\n                return ctx\n"
        "            ctx.release()",
        "            return ctx",
    ),
    (
        HOME,
        "                self.context = ctx\n        finally:\n            old.release()",
        "                self.context = ctx\n        finally:\n            pass",
    ),
)
_mutant(
    "a_home_moves_as_one",
    "fds_stay",
    "Fds stay in the old context.",
    (HOME, "                self.context.fds.drop(fd)\n            for", "                pass\n            for"),
)
_mutant(
    "a_home_moves_as_one",
    "timers_stay",
    "Timers stay in the old context.",
    (
        HOME,
        "                if waits.timer is not None:\n                    waits.timer.delete()\n\n    def _attach",
        "                pass\n\n    def _attach",
    ),
)
_mutant(
    "a_home_moves_as_one",
    "calls_stay",
    "Calls stay in the old context.",
    (HOME, "        self._half.delete()\n", ""),
    (HOME, "if move != self._moves or not self._soon:", "if not self._soon:"),
)
_mutant(
    "a_home_moves_as_one",
    "calls_go_on",
    "Calls that have begun go on when the home was moved.",
    (HOME, "if move != self._moves or not self._soon:", "if not self._soon:"),
)
_mutant(
    "a_home_moves_as_one",
    "calls_are_forgotten",
    "Calls that were asked for while the home moved are not made.",
    (HOME, "        if self._soon:\n", "        if False:\n"),
)
_mutant(
    "a_home_moves_as_one",
    "timers_are_forgotten",
    "Timers are not armed in the new context.",
    (HOME, "                self._arm(waits)\n            self._half", "                pass\n            self._half"),
)
_mutant(
    "a_home_moves_as_one",
    "old_attachments_count",
    "A home that was moved again arrives in the context before, too.",
    (HOME, "            if move != self._moves or self._closed:", "            if self._closed:"),
)
_mutant(
    "nothing_ready_stays_behind",
    "entries_are_shared",
    "The new context has the same entries as the old.",
    (HOME, "                self._fds[fd] = self._put(entry)", "                self.context.fds.put(entry)"),
)
_mutant(
    "homes_change_while_they_move",
    "added_at_once",
    "An fd that is added while the home moves is waited for at once.",
    (
        HOME,
        "            if self._attached:\n                self.context.fds.put(entry)",
        "            if True:\n                self.context.fds.put(entry)",
    ),
)
_mutant(
    "homes_change_while_they_move",
    "removed_for_now",
    "An fd that is removed comes back with the next move.",
    (HOME, "if self._fds.pop(fd, None) is not None", "if self._fds.get(fd) is not None"),
)
_mutant(
    "nothing_runs_in_a_closed_home",
    "closed_but_attached",
    "A home that is closed while it moves arrives all the same.",
    (HOME, "            if move != self._moves or self._closed:", "            if False:"),
    (
        HOME,
        "                self._fds.clear()\n                self._timers.clear()\n                self._soon.clear()\n",
        "",
    ),
)
_mutant(
    "a_call_is_run_in_the_home",
    "run_where_one_is",
    "A call is run by whoever asks.",
    (
        HOME,
        "        if self.here() is not None:\n            return call()",
        "        if True:\n            return call()",
    ),
)
_mutant(
    "a_call_is_run_in_the_home",
    "asker_is_not_told",
    "Who waits for a call is not kicked.",
    (
        HOME,
        "                ended.append((None, error))\n            kick()",
        "                ended.append((None, error))",
    ),
)

# Coroutines

_mutant(
    "coroutines_resume_once_where_they_are",
    "resumed_by_the_setter",
    "A coroutine goes on in the thread that has completed what it awaits.",
    (COROUTINE, "        self.place.call_threadsafe(self.step)", "        self.step()"),
)
_mutant(
    "coroutines_resume_once_where_they_are",
    "resumed_at_first",
    "A coroutine that has moved is resumed where it was entered.",
    (COROUTINE, "            self.place = awaited.place\n", ""),
)
_mutant(
    "coroutines_move_with_their_home",
    "resumed_in_the_context",
    "A coroutine of a home stays in the context where it was entered.",
    (
        COROUTINE,
        "    task = Task(place, coro, kept=kept)",
        "    task = Task(place if isinstance(place, AioContext) else place.context, coro, kept=kept)",
    ),
)


def main(argv: list[str] | None = None) -> int:
    """Explore a mutant's program."""
    parser = argparse.ArgumentParser(prog="python -m tests.aio.mutants")
    parser.add_argument("name", choices=[*MUTANTS, "all"])
    parser.add_argument("--limit", type=int, default=WITHIN)
    options = parser.parse_args(argv)
    if options.name == "all":
        return _all(options.limit)
    mutant = MUTANTS[options.name]
    insist(mutant.edits)
    from tests.aio.programs import explored

    found = explored(mutant.program, options.limit)
    print(f"{mutant.rule} {mutant.program}: {found.schedules} schedules; {found.failure or 'not found'}")
    return 0 if found.failure else 1


def _all(limit: int) -> int:
    words = [sys.executable, "-m", "tests.aio.mutants", "--limit", str(limit)]
    missed = [name for name in MUTANTS if subprocess.run([*words, name]).returncode]
    print(f"{len(MUTANTS) - len(missed)} of {len(MUTANTS)} found" + (f"; not: {', '.join(missed)}" if missed else ""))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
