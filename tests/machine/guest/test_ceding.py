"""CPUs that give their processor away: H_CEDE, H_CONFER, H_PROD; on the real QEMU where it answers without halting."""

import pytest

from outboard.errors import WaitTimeout
from outboard.machine.cpu import WAIT
from outboard.machine.pseries import PseriesMachine
from outboard.machine.scheduler import Scheduler
from tests.machine.pseries.rig import QUERY_CPU, START_CPU, negotiate, rtas

pytestmark = pytest.mark.alike

H_CEDE, H_CONFER, H_PROD = 0xE0, 0xE4, 0xE8
H_IPI, H_CPPR, H_XIRR, H_EOI = 0x6C, 0x68, 0x74, 0x64
H_PARAMETER, H_MULTI_THREADS_ACTIVE = -4, -9005
ALL = (1 << 64) - 1


@pytest.fixture
def machine():
    made = PseriesMachine(2, "dual", vsmt=8, ram_size=16 << 20)
    assert rtas(made.cpus[0], START_CPU, (8, 0, 0)) == (0,)
    made.take_starts()
    return made


def run(machine, *programs, seed=0):
    scheduler = Scheduler(machine, seed)
    for index, program in enumerate(programs):
        scheduler.start(index, program)
    scheduler.run()
    assert not scheduler.faults
    return scheduler.results


@pytest.mark.parametrize("pause", [None, WAIT])
@pytest.mark.parametrize("seed", range(3))
def test_a_cpu_that_cedes_goes_on_when_it_is_interrupted(machine, seed, pause):
    log = []

    def sleeps(cpu):
        cpu.hcall(H_CPPR, 0xFF)
        answer = cpu.hcall(H_CEDE)
        yield pause
        log.append("awake")
        xirr = cpu.hcall(H_XIRR)[1]
        cpu.hcall(H_EOI, xirr)
        return answer, xirr

    def wakes(cpu):
        for _ in range(5):
            log.append("turn")
            yield
        assert cpu.hcall(H_IPI, 0, 5) == (0,)

    assert run(machine, sleeps, wakes, seed=seed)[0] == ((0,), 0xFF000002)
    assert log.index("awake") >= 5


def test_an_interrupt_that_is_there_already_ends_it_at_once(machine):
    def program(cpu):
        cpu.hcall(H_CPPR, 0xFF)
        cpu.hcall(H_IPI, 0, 5)
        assert cpu.hcall(H_CEDE) == (0,) and not machine.is_ceded(0)
        yield
        return "on"

    assert run(machine, program) == {0: "on"}


def test_a_cpu_is_prodded(machine):
    """A prod is kept for the next cede, also one that has woken its CPU; a confer to oneself is a cede."""
    log = []

    def sleeps(cpu):
        for name, call in (("cedes", H_CEDE), ("cedes", H_CEDE), ("goes on", H_CEDE), ("confers", H_CONFER)):
            assert cpu.hcall(call, cpu.vcpu_id, 0) == (0,)
            log.append(name)
            yield
        log.append("awake")

    def prods(cpu):
        for _ in range(2):
            while not machine.is_ceded(0):
                yield
            log.append("prods")
            assert cpu.hcall(H_PROD, 0) == (0,)
            yield

    machine.cpus[1].hcall(H_PROD, 0)
    run(machine, sleeps, prods)
    assert log == ["cedes", "cedes", "prods", "goes on", "confers", "prods", "awake"]


def test_all_cede_and_nobody_wakes_them(machine):
    def program(cpu):
        cpu.hcall(H_CEDE)
        yield

    with pytest.raises(WaitTimeout, match=r"waiting: CPU 0 \(program\), CPU 1 \(program\)"):
        run(machine, program, program)


def test_a_cpu_that_ceded_does_not_run(machine):
    """For query-cpu-stopped-state, start-cpu and CAS; an interrupt, a prod and a reset change that."""
    first, second = machine.cpus
    assert rtas(first, QUERY_CPU, (8,), 2) == (0, 2)
    assert negotiate(first) == H_MULTI_THREADS_ACTIVE
    second.hcall(H_CPPR, 0xFF)
    second.hcall(H_CEDE)
    assert machine.is_ceded(1) and rtas(first, QUERY_CPU, (8,), 2) == (0, 0)
    first.hcall(H_IPI, 8, 5)
    assert not machine.is_ceded(1) and rtas(first, QUERY_CPU, (8,), 2) == (0, 2)
    second.hcall(H_XIRR)
    second.hcall(H_CEDE)
    assert negotiate(first, xive=False) == 0
    assert rtas(first, START_CPU, (8, 0x100, 7)) == (0,)
    assert not machine.is_ceded(1) and machine.take_starts() == ((1, 0x100, 7),)
    second.hcall(H_CEDE)
    machine.reset()
    assert not machine.is_ceded(1) and machine.is_stopped(1)


def test_a_started_cpu_that_ceded_runs_its_new_program_alone(machine):
    def sleeps(cpu):
        cpu.hcall(H_CEDE)
        yield
        return "old"

    def starts(cpu):
        while not machine.is_ceded(1):
            yield
        assert rtas(cpu, START_CPU, (8, 0x100, 7)) == (0,)
        yield

    def new(cpu):
        yield
        return "new"

    scheduler = Scheduler(machine)
    scheduler.place(0x100, new)
    scheduler.start(0, starts)
    scheduler.start(1, sleeps)
    scheduler.run()
    assert scheduler.results == {0: None, 1: "new"} and not scheduler.faults


def test_snapshots_have_who_ceded(machine):
    machine.cpus[1].hcall(H_PROD, 0)
    machine.cpus[1].hcall(H_CEDE)
    picture = machine.snapshot()
    machine.cpus[0].hcall(H_CEDE)
    machine.cpus[0].hcall(H_PROD, 8)
    machine.restore(picture)
    assert machine.is_ceded(1) and machine.cpus[0].hcall(H_CEDE) == (0,) and not machine.is_ceded(0)


CALLS = [
    ((H_PROD, 99), H_PARAMETER),
    ((H_PROD, 1), H_PARAMETER),
    ((H_PROD, 1 << 32), 0),
    ((H_CONFER, 99, 1), H_PARAMETER),
    ((H_CONFER, 8, 1), 0),
    ((H_CONFER, ALL, 0), H_CONFER),
    ((H_CONFER, 0xFFFFFFFF, 0), H_PARAMETER),
    ((H_PROD, 0), 0),
    ((H_CEDE,), 0),
    ((H_PROD, 0), 0),
    ((H_CONFER, 0, 0), 0),
]


def test_answers(machine):
    assert [machine.cpus[0].hcall(*words)[0] for words, _ in CALLS] == [status for _, status in CALLS]


@pytest.mark.parametrize("version", [7, 10])
def test_answers_are_those_of_a_real_machine(live, version):
    """Asked of QEMU itself, not of what `LiveCpu` puts before it; none of these calls halts."""
    from outboard.qemu.live_cpu import hcall, signed

    real = live(version, 2, vsmt=8)
    results = real.batch([hcall(0, *words) for words, _ in CALLS])
    assert [signed(result.registers[0]) for result in results] == [status for _, status in CALLS]


def test_programs_cede_on_a_real_machine_as_here(live, machine):
    real = live(7, 2, vsmt=8)
    log = []

    def program(cpu):
        cpu.hcall(H_CPPR, 0xFF)
        cpu.hcall(H_CEDE)
        yield
        xirr = cpu.hcall(H_XIRR)[1]
        cpu.hcall(H_IPI, cpu.vcpu_id, 0xFF)
        cpu.hcall(H_EOI, xirr)
        cpu.hcall(H_CEDE)
        yield
        log.append((cpu.index, xirr))

    def wakes(cpu):
        for _ in range(3):
            yield
        cpu.hcall(H_IPI, 8, 5)
        for _ in range(3):
            yield
        cpu.hcall(H_PROD, 8)

    for one in (real, machine):
        run(one, wakes, program)
    assert log == [(1, 0xFF000002)] * 2
