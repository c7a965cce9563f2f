"""Each rule of the block graph, broken: a function, what of its source becomes what, and programs that notice."""

import inspect
import textwrap
from contextlib import contextmanager
from typing import Any, NamedTuple

from outboard.block import backend, drains, edges, jobs, mirror, moves, requests
from outboard.block.drivers import throttle


class Mutant(NamedTuple):
    """A rule, and how it is broken."""

    rule: str
    function: Any
    old: str
    new: str
    programs: str

    @contextmanager
    def alive(self):
        """Break the rule during a block, for all that imported the function."""
        function = inspect.unwrap(self.function)
        source = textwrap.dedent(inspect.getsource(function))
        assert source.count(self.old) == 1, f"{self.rule}: {self.old!r} stands {source.count(self.old)} times in it"
        made = dict(function.__globals__)
        exec(source.replace(self.old, self.new), made)
        code, function.__code__ = function.__code__, inspect.unwrap(made[function.__name__]).__code__
        try:
            yield
        finally:
            function.__code__ = code


Backend, Job, Mirror, Throttle = backend.BlockBackend, jobs.Job, mirror.Mirror, throttle.Throttle

MUTANTS = [
    # Drained sections
    Mutant(
        "a section waits for requests",
        drains.drain_poll,
        "node.in_flight > 0 or ",
        "",
        "sections_with_requests_from_nobody",
    ),
    Mutant(
        "a section waits for parents",
        drains.drain_poll,
        "or any(parent_busy(child) for child in list(node.parents))",
        "",
        "sections_with_a_device_that_does_it_itself",
    ),
    Mutant("parents start nothing in a section", drains.quiesce, "begin_parent(child)", "pass", "nested_sections"),
    Mutant(
        "no external handler runs in a section",
        drains.quiesce,
        "node.ctx.disable_external()",
        "pass",
        "nested_sections",
    ),
    Mutant(
        "the last end of nested sections ends them",
        drains.unquiesce,
        "if node.quiesce_counter == 1:",
        "if True:",
        "nested_sections",
    ),
    Mutant("parents go on after a section", drains.unquiesce, "end_parent(child)", "pass", "nested_sections"),
    Mutant(
        "external handlers run after a section",
        drains.unquiesce,
        "node.ctx.enable_external()",
        "pass",
        "nested_sections",
    ),
    Mutant(
        "each edge is told of a section once",
        drains.begin_parent,
        "if not child.quiesced:",
        "if True:",
        "a_filter_comes_and_goes",
    ),
    Mutant(
        "who waits is told of the last request", requests.leave, "kick()", "pass", "sections_with_requests_from_nobody"
    ),
    Mutant(
        "who waits is told of a backend's last request",
        Backend.end_io,
        "kick()",
        "pass",
        "sections_with_a_device_that_does_it_itself",
    ),
    # Backends
    Mutant(
        "a backend begins nothing in a section",
        Backend.begin_io,
        "if self.quiesce_counter:",
        "if False:",
        "nested_sections",
    ),
    Mutant(
        "what came in a section begins after it", Backend.unquiesce, "self._goes_on.open()", "pass", "nested_sections"
    ),
    Mutant("a backend counts its requests", Backend.begin_io, "self.in_flight += 1", "pass", "moves"),
    Mutant(
        "a request goes to where its backend is",
        Backend._admitted,
        "if not self.ctx.in_home_thread:",
        "if False:",
        "users_that_stay",
    ),
    Mutant("a backend's coroutines move with it", Backend.moved, "self.home.move(ctx)", "pass", "a_move_in_a_section"),
    Mutant("a backend that is left fails requests", Backend.parting, "self.root = None", "pass", "a_user_leaves"),
    # Moves
    Mutant("a move drains", moves.move, "with drained(*plan.nodes):", "if True:", "moves"),
    Mutant(
        "a move asks again when all is quiet",
        moves.move,
        "if make_plan().ask() == plan:",
        "if True:",
        "a_user_comes_while_a_move_waits",
    ),
    Mutant("parents are asked", moves.Plan.ask, "self._ask_parent(child)", "pass", "refusals"),
    Mutant("children are asked", moves.Plan.ask, "self.visit(child.node)", "pass", "moves"),
    Mutant(
        "who cannot be asked refuses",
        moves.Plan._ask_parent,
        "if child.role.can_set_aio_ctx is None:",
        "if False:",
        "refusals",
    ),
    Mutant(
        "a device refuses", backend._can_set, "if not backend.allow_aio_context_change and", "if False and", "refusals"
    ),
    Mutant(
        "asking changes nothing",
        moves.Plan.visit,
        "self._to_ask.append(node)",
        "self._to_ask.append(node); node.ctx = self.ctx",
        "refusals",
    ),
    Mutant(
        "nothing runs between detach and attach",
        moves._commit,
        "acquired.enter_context(ctx)",
        "pass",
        "notifiers moves",
    ),
    Mutant(
        "all is detached before any is attached",
        moves._commit,
        "_detach(node)",
        "_detach(node); node.ctx = plan.ctx; _attach(node); _detach(node)",
        "notifiers",
    ),
    Mutant(
        "parents are told of the new context", moves._commit, "child.role.set_aio_ctx(child, plan.ctx)", "pass", "moves"
    ),
    Mutant("drivers leave the old context", moves._detach, "node.driver.detach_aio_context()", "pass", "moves"),
    Mutant(
        "drivers come to the new context", moves._attach, "node.driver.attach_aio_context(node.ctx)", "pass", "moves"
    ),
    Mutant("notifiers are told before", moves._detach, "notifier.detach()", "pass", "moves"),
    Mutant("notifiers are told after", moves._attach, "notifier.attached(node.ctx)", "pass", "moves"),
    Mutant("a section of a node leaves the old context", moves._detach, "node.ctx.enable_external()", "pass", "moves"),
    Mutant(
        "a section of a node comes to the new one",
        moves._attach,
        "node.ctx.disable_external()",
        "pass",
        "a_move_in_a_section",
    ),
    # Edges
    Mutant(
        "both ends of an edge are in one context", edges._meet, "if child.node.ctx is ctx:", "if True:", "a_child_comes"
    ),
    Mutant(
        "a parent goes where its child must stay",
        edges._meet,
        "if child.role.can_set_aio_ctx is None:",
        "if True:",
        "a_parent_goes",
    ),
    Mutant(
        "who comes to a drained node is quiet",
        edges._join,
        "drains.begin_parent(child)",
        "pass",
        "a_user_comes_in_a_section",
    ),
    Mutant(
        "who comes to a drained node ends what it does",
        edges._join,
        "wait_while(node.ctx, lambda: drains.parent_busy(child))",
        "pass",
        "a_busy_parent_comes_in_a_section",
    ),
    Mutant(
        "a node that takes the place of another comes",
        edges.replace_child,
        "try_set_aio_context(node, child.node.ctx)",
        "pass",
        "a_node_takes_the_place_of_another",
    ),
    Mutant(
        "an edge is taken away in a section",
        edges.detach_child,
        "with drains.drained(node):",
        "if True:",
        "a_user_leaves",
    ),
    Mutant("who was taken away goes on", edges.detach_child, "drains.end_parent(child)", "pass", "a_user_leaves"),
    Mutant(
        "a node is replaced in a section",
        edges.replace_child,
        "with drains.drained(child.node, node):",
        "if True:",
        "a_filter_comes_and_goes",
    ),
    # Drivers and jobs
    Mutant(
        "a section lets throttled requests out",
        Throttle.drain_begin,
        "self._open = True",
        "self._open = False",
        "throttled",
    ),
    Mutant("no timer runs after detach", Throttle.detach_aio_context, "timer.delete()", "pass", "throttled"),
    Mutant(
        "the next throttled request is waited for",
        Throttle._let_through,
        "while queue:",
        "if queue:",
        "throttled_and_left_alone",
    ),
    Mutant(
        "what copies on read has its range to itself",
        requests.Request.conflicts,
        "return other is not self",
        "return False and other is not self",
        "copy_on_read",
    ),
    Mutant(
        "a job stands still in a section",
        Job.pause_point,
        "while self.pause_count and not self.cancelled:",
        "while False:",
        "a_job_in_sections",
    ),
    Mutant(
        "a section waits for a job",
        Mirror.active,
        "return self.busy or self.copies > 0",
        "return False",
        "a_job_in_sections",
    ),
    Mutant("a job goes on after a section", Job.resume, "self.wake()", "pass", "mirror_in_the_background"),
    Mutant("a job's coroutine moves with it", Job.moved, "self.home.move(ctx)", "pass", "mirror_in_the_background"),
    Mutant(
        "a job ends outside of sections",
        Job._end,
        "if self.pause_count or not self._ended:",
        "if not self._ended:",
        "a_job_that_ends_in_a_section",
    ),
    Mutant(
        "what is written while it is copied is copied again",
        Mirror.touched,
        "self.chunks.dirty.update(dict.fromkeys(chunks))",
        "pass",
        "mirror_in_the_background",
    ),
    Mutant(
        "a mirror ends when nothing is dirty",
        Mirror.settled,
        "if self.chunks.dirty:",
        "if False:",
        "mirror_in_the_background",
    ),
    Mutant(
        "a blocking write has its chunks to itself",
        mirror.MirrorTop._write,
        "async with job.chunks.taken(chunks):",
        "if True:",
        "mirror_that_blocks_writes",
    ),
]
