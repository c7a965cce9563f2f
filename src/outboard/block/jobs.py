"""Block jobs: work in the background on some nodes; it stops in drained sections and moves with the nodes.

Source: QEMU 4.1, job.c, blockjob.c, qapi/job.json. A job ends in the main thread, and not inside of a drained section.
Modelled: states, pausing, completing, cancelling, moves.
Not modelled: speed limits, transactions of jobs, error policies.
"""

from typing import ClassVar

from outboard import trace
from outboard.aio.context import AioContext
from outboard.aio.coroutine import Completion, co_enter
from outboard.aio.home import Home
from outboard.aio.wait import kick, wait_while
from outboard.aio.world import main_context
from outboard.block import drains, edges
from outboard.block.moves import Plan, require_main
from outboard.block.node import Child, Node, Role
from outboard.errors import LocalError

# State: those that may follow. READY and STANDBY are RUNNING and PAUSED of a job that could complete.
STATES = {
    "created": ("running",),
    "running": ("paused", "ready", "concluded", "aborting"),
    "paused": ("running", "aborting"),
    "ready": ("standby", "concluded", "aborting"),
    "standby": ("ready", "aborting"),
    "aborting": ("concluded",),
    "concluded": (),
}
VERBS = {"complete": ("ready", "standby"), "cancel": ("created", "running", "paused", "ready", "standby")}
PAUSED = {"running": "paused", "ready": "standby"}
RESUMED = {paused: state for state, paused in PAUSED.items()}


class Job:
    """A job. Subclasses give `work`, `settled` and `leave`. name: its kind.

    status: see STATES. busy: its coroutine runs, or may any time. error: what has ended it, or None. A job's nodes keep
    their length.
    """

    kind: ClassVar[str] = "job"

    def __init__(self, name: str, ctx: AioContext) -> None:
        self.name = name
        self.ctx = ctx
        self.home = Home(ctx)
        self.children: list[Child] = []
        self.status = "created"
        self.busy = False
        self.pause_count = 0
        self.should_complete = False
        self.cancelled = False
        self.error: Exception | None = None
        self._woken: Completion[None] | None = None
        self._ended = False

    def __repr__(self) -> str:
        return f"<{self.kind} job {self.name!r}: {self.status}>"

    # What a kind of job is

    async def work(self) -> None:
        """Do the job, calling `pause_point` often; return when it is done or was cancelled. Raises OSError."""
        raise NotImplementedError

    def settled(self) -> bool:
        """Whether nothing is left to do, now that the nodes are drained; else `work` is called again."""
        return True

    def active(self) -> bool:
        """Whether it makes requests, or may any time: a drained section waits for that to end."""
        return self.busy

    def leave(self) -> None:
        """Change the graph as the job's end asks for; the nodes are drained. In the main thread."""

    # Verbs, in the main thread

    def add(self, node: Node) -> None:
        """Use a node: it is moved with the job, and drains it. Contexts and errors as in `edges.attach_child`."""
        self.children.append(edges.attach_root(self, node, JOB, self.ctx))

    def start(self) -> None:
        """Begin."""
        self._require("start", ("created",))
        self._set("running")
        self.busy = True
        co_enter(self.home, self._run())

    def pause(self) -> None:
        """Stop at the next pause point, until `resume` was called as often."""
        self.pause_count += 1

    def resume(self) -> None:
        """Undo one `pause`."""
        self.pause_count -= 1
        if not self.pause_count:
            self.wake()
            if self._ended:
                self._schedule_end()

    def complete(self) -> None:
        """End a job that is ready. Raises LocalError in another state."""
        self._require("complete", VERBS["complete"])
        self.should_complete = True
        self.wake()

    def cancel(self) -> None:
        """End it without what it was for. Raises LocalError when it has ended."""
        self._require("cancel", VERBS["cancel"])
        self.cancelled = True
        if self.status == "created":
            self._set("running")
            self._conclude()
        else:
            self.wake()

    def wait(self) -> None:
        """Return when it has ended; raises what has ended it, LocalError when its thread has, before it."""
        wait_while(main_context(), lambda: self.status != "concluded" and not self.ctx.deserted)
        if self.status != "concluded":
            raise LocalError(f"{self!r} cannot end: the thread of context {self.ctx.name} has")
        if self.error is not None:
            raise self.error

    def wake(self) -> None:
        """Let the coroutine look again, if it waits."""
        with self.ctx:
            if self._woken is not None and not self._woken.done:
                self._woken.set_result(None)

    def _require(self, verb: str, states: tuple[str, ...]) -> None:
        require_main("a job's verb")
        if self.status not in states:
            raise LocalError(f"Job '{self.name}' in state '{self.status}' cannot accept command verb '{verb}'")

    # The coroutine

    async def _run(self) -> None:
        try:
            await self.pause_point()
            await self.work()
        except Exception as error:  # a bug of a driver is the job's end, not that of a thread which others need
            self.error = self.error or error
        self.busy = False
        self._ended = True
        kick()
        self._schedule_end()

    async def pause_point(self) -> None:
        """Wait while the job is paused."""
        while self.pause_count and not self.cancelled:
            self._set(PAUSED.get(self.status, self.status))
            await self.idle()
        self._set(RESUMED.get(self.status, self.status))

    async def idle(self) -> None:
        """Wait until `wake`; a drained section need not wait for the job meanwhile. Call `pause_point` after it."""
        self._woken = Completion()
        self.busy = False
        kick()
        await self._woken
        self._woken = None
        self.busy = True

    def ready(self) -> None:
        """Say that the job can complete."""
        if self.status == "running":
            self._set("ready")
            trace.emit("block_job_ready", job=self.name)
            kick()

    # The end, in the main thread

    def _schedule_end(self) -> None:
        main_context().bh_schedule_oneshot(self._end)

    def _end(self) -> None:
        if self.pause_count or not self._ended:
            return  # a drained section is open: nobody expects the graph to change; `resume` comes back here
        nodes = [child.node for child in self.children]
        with drains.drained(*nodes):
            settled = self.cancelled or self.error is not None or self.settled()
            if settled:
                self._conclude()
        if not settled:
            self._ended = False
            self.busy = True
            co_enter(self.home, self._run())

    def _conclude(self) -> None:
        self._ended = False
        if self.cancelled or self.error is not None:
            self._set("aborting")
        self.leave()
        for child in self.children:
            edges.detach_child(child)
        self.children.clear()
        self.home.close()
        self._set("concluded")
        kick()

    def _set(self, status: str) -> None:
        if status != self.status:
            assert status in STATES[self.status], (self.status, status)
            self.status = status
            trace.emit("job_status_change", job=self.name, status=status)

    def moved(self, ctx: AioContext) -> None:
        """Live in another context from now on; the nodes do already."""
        self.ctx = ctx
        self.home.move(ctx)


def _can_set(child: Child, plan: Plan) -> None:
    for sibling in child.parent.children:
        if plan.note(sibling):
            plan.visit(sibling.node)


JOB = Role(
    "job",
    description=lambda child: f"{child.parent.kind} job '{child.parent.name}'",
    can_set_aio_ctx=_can_set,
    set_aio_ctx=lambda child, ctx: child.parent.moved(ctx),
    drained_begin=lambda child: child.parent.pause(),
    drained_poll=lambda child: child.parent.active(),
    drained_end=lambda child: child.parent.resume(),
    keeps_length=True,
)
