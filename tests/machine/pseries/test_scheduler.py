"""Programs of several CPUs: turns, waits, order by seed, and what becomes of programs that misbehave."""

import struct
import sys
import threading
import time

import pytest

from outboard.errors import LocalError, WaitTimeout
from outboard.machine.cpu import WAIT
from outboard.machine.pseries import PseriesMachine
from outboard.machine.scheduler import Overrun, Scheduler
from tests.machine.pseries.rig import START_CPU, STOP_SELF, rtas

pytestmark = pytest.mark.alike

H_IPI, H_CPPR, H_XIRR, H_EOI = 0x6C, 0x68, 0x74, 0x64


def machine(cpus=3):
    made = PseriesMachine(cpus=cpus, ic_mode="xics")
    for index in range(1, cpus):
        assert rtas(made.cpus[0], START_CPU, (index, 0, 0)) == (0,)
    made.take_starts()
    return made


def run(programs, seed=0, **options):
    made = machine(len(programs))
    scheduler = Scheduler(made, seed, **options)
    for index, program in enumerate(programs):
        scheduler.start(index, program)
    scheduler.run()
    return scheduler


def test_turns_repeat_with_their_seed():
    def order(seed):
        log = []

        def program(cpu):
            for step in range(5):
                log.append((cpu.index, step))
                yield

        run([program] * 3, seed)
        return log

    assert order(1) == order(1)
    assert {tuple(order(seed)) for seed in range(5)} != {tuple(order(0))}
    assert [sorted(order(3)[at : at + 3]) for at in range(0, 15, 3)] == [
        [(cpu, at) for cpu in range(3)] for at in range(5)
    ]


def test_a_program_waits_for_its_interrupt():
    log = []

    def waits(cpu):
        cpu.hcall(H_CPPR, 0xFF)
        yield WAIT
        status, xirr = cpu.hcall(H_XIRR)
        log.append((status, xirr))
        cpu.hcall(H_EOI, xirr)
        return "handled"

    def sends(cpu):
        for _ in range(4):
            yield
        log.append("sends")
        assert cpu.hcall(H_IPI, 0, 5) == (0,)

    scheduler = run([waits, sends])
    assert log == ["sends", (0, 0xFF000002)]
    assert (scheduler.results, scheduler.faults, scheduler.running) == ({0: "handled", 1: None}, [], ())


def test_all_wait_for_nothing():
    def waits(cpu):
        yield WAIT

    def fails(cpu):
        raise ValueError("no good")
        yield

    with pytest.raises(WaitTimeout, match=r"waiting: CPU 0 \(waits\); stopped: CPU 1, fails: ValueError: no good"):
        run([waits, fails])


# Misbehaviour


def good(cpu):
    for _ in range(3):
        cpu.load(0, 8)
        yield
    return "good"


def raises(cpu):
    yield
    cpu.store(0, 5, 0)


def yields_nonsense(cpu):
    yield 42


def never_yields(cpu):
    while True:
        cpu.load(0, 1)
    yield


def computes(cpu):
    while True:
        pass
    yield


def swallows(cpu):
    while True:
        try:
            while True:
                cpu.load(0, 1)
        except Exception:
            pass
    yield


def swallows_all(cpu):
    try:
        while True:
            pass
    except BaseException:
        yield


def clings(cpu):
    try:
        yield 7
    finally:
        raise KeyError("at the end")


def clings_for_ever(cpu):
    try:
        yield 7
    finally:
        while True:
            pass


def exits(cpu):
    yield
    sys.exit("bye")


def exits_as_a_generator(cpu):
    yield
    raise GeneratorExit("of its own")


def exits_at_the_end(cpu):
    try:
        yield 7
    finally:
        sys.exit(3)


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (raises, "LocalError: an access has 1, 2, 4 or 8 bytes, not 5"),
        (yields_nonsense, "yielded 42; a program yields WAIT or nothing"),
        (never_yields, "1000 operations without a yield"),
        (swallows, "1000 operations without a yield"),
        (computes, "its turn does not end: 0.05 s of computing"),
        (swallows_all, "its turn does not end: 0.05 s of computing"),
        (clings, "does not end: 'at the end'"),
        (clings_for_ever, "does not end: its turn does not end: 0.05 s of computing"),
        (exits, "SystemExit: bye"),
        (exits_as_a_generator, "GeneratorExit: of its own"),
        (exits_at_the_end, "does not end: 3"),
    ],
)
def test_a_program_harms_only_itself(program, words):
    scheduler = run([good, program], operations=1000, turn_s=0.05)
    assert scheduler.results == {0: "good"}
    assert str(scheduler.faults[0]) == f"CPU 1, {program.__name__}: {words}"
    assert scheduler.faults[0].cpu == 1


def test_a_run_within_a_turn_leaves_the_turn_watched():
    def runs_another(cpu):
        run([good], turn_s=0.05)
        while True:
            pass
        yield

    faults = run([good, runs_another], turn_s=0.05).faults
    assert [fault.why for fault in faults] == ["its turn does not end: 0.05 s of computing"]


def test_what_ends_the_host_is_no_programs_fault():
    def interrupted(cpu):
        yield
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run([good, interrupted])


def test_a_program_that_makes_operations_is_cut_by_their_number_alone():
    """However long they take together: here much longer than what a turn may compute without any."""
    limit, turn_s, took, done = 10_000, 0.02, 0.0, 0

    def for_ever(cpu):
        nonlocal done
        while True:
            done += 1
            cpu.load(0, 8)
        yield

    while took < 5 * turn_s:
        limit, done, before = 4 * limit, 0, time.process_time()
        scheduler = run([good, for_ever], operations=limit, turn_s=turn_s)
        took = time.process_time() - before
        assert [fault.why for fault in scheduler.faults] == [f"{limit} operations without a yield"]
        assert done == limit + 1


def test_it_may_end_with_the_first_fault():
    """Nobody waits for an interrupt that only the failed program would have sent."""

    def waits(cpu):
        yield WAIT

    scheduler = Scheduler(machine(2), idle_s=60)
    scheduler.start(0, waits)
    scheduler.start(1, raises)
    assert scheduler.run(until_fault=True) == 3
    assert (scheduler.running, len(scheduler.faults)) == ((0,), 1)


def test_out_of_the_main_thread_computing_is_not_watched():
    found = []
    thread = threading.Thread(target=lambda: found.append(run([good, never_yields], operations=10).results))
    thread.start()
    thread.join()
    assert found == [{0: "good"}]


def test_wrong_starts():
    made = machine(1)
    scheduler = Scheduler(made)
    scheduler.start(0, good)
    with pytest.raises(LocalError, match="CPU 0 runs good; a CPU runs one program"):
        scheduler.start(0, good)
    with pytest.raises(LocalError, match="no CPU 4; there are 0"):
        scheduler.start(4, good)
    assert scheduler.run(turns=2) == 2 and scheduler.running == (0,)
    assert scheduler.run() == 2 and scheduler.running == ()


# CPUs that start each other


def call(cpu, token, *arguments, results=1):
    cells = (token, len(arguments), results, *arguments)
    at = 0x1000 * (cpu.index + 1)
    cpu.memory.write(at, struct.pack(f">{len(cells)}I", *cells))
    cpu.hcall(0xF000, at)


def test_cpus_come_and_go():
    log = []

    def second(cpu):
        log.append("starts")
        call(cpu, STOP_SELF, results=0)
        log.append("is stopped")
        yield
        log.append("must not come here")

    def twice(cpu):
        for _ in range(2):
            call(cpu, START_CPU, 1, 0x100, 9)
            yield
            yield
        call(cpu, START_CPU, 1, 0x200, 9)

    scheduler = Scheduler(PseriesMachine(cpus=2, ic_mode="xics"))
    scheduler.place(0x100, second)
    scheduler.start(0, twice)
    scheduler.run()
    assert log == ["starts", "is stopped"] * 2
    assert [str(fault) for fault in scheduler.faults] == ["CPU 1, nothing: started at 0x200, where no program is"]


def test_a_cpu_that_goes_on_after_it_stopped_itself():
    def stops(cpu):
        call(cpu, STOP_SELF, results=0)
        cpu.load(0, 4)
        yield

    scheduler = run([good, stops])
    assert (scheduler.results, scheduler.faults) == ({0: "good"}, [])


def test_who_still_holds_the_cpu_of_a_stopped_program_does_nothing_with_it():
    held = []

    def leaks(cpu):
        held.append(cpu)
        yield "nonsense"

    run([good, leaks])
    with pytest.raises(Overrun):
        held[0].load(0, 4)
