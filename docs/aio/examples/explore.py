"""A program that is wrong under some schedules, one of them found, and made again."""

from outboard.aio.simulator import Simulator, explore, replay


def program(sim: Simulator):
    """Two threads; one asks the other to count, and believes that it has."""
    ctx, counted = sim.context("worker"), []

    def asks():
        ctx.call_soon(lambda: counted.append(1))
        yield  # what a real thread does without being asked
        assert counted, "it has not counted yet"

    sim.thread("asks", asks)


found = explore(program)
assert found.failure is not None
print(found.schedules, "schedules:", found.failure.error)
print("choices", found.failure.schedule, "steps", found.failure.log)
try:
    replay(program, found.failure.schedule)
except AssertionError as error:
    print("again:", error)


def repaired(sim: Simulator):
    """The same, but it waits."""
    from outboard.aio import Home

    home, counted = Home(sim.context("worker")), []

    def asks():
        home.run_in(lambda: counted.append(1))
        yield
        assert counted

    sim.thread("asks", asks)


print("repaired:", explore(repaired))
