"""Nodes, edges, contexts and drained sections, on the main context and on IOThreads."""

import threading

import pytest

from outboard.aio import IOThread, co_enter, main_context
from outboard.aio.wait import kick, wait_while
from outboard.block.backend import BlockBackend, DevOps
from outboard.block.drivers import CopyOnRead, Memory, NullCo, Raw
from outboard.block.graph import (
    BACKING,
    FILE,
    FILTERED,
    Node,
    add_aio_context_notifier,
    append,
    attach_child,
    can_set_aio_context,
    close,
    detach_child,
    drained,
    drained_begin,
    drained_end,
    get_aio_context,
    remove_aio_context_notifier,
    replace_node,
    subtree,
    try_set_aio_context,
)
from outboard.errors import LocalError

pytestmark = pytest.mark.alike


@pytest.fixture
def io():
    with IOThread("io0") as first, IOThread("io1") as second:
        yield first.context, second.context


@pytest.fixture
def backend():
    made = BlockBackend("disk0")
    below, top = Node("below", Memory(1 << 16)), Node("top", Raw())
    attach_child(top, below, FILE)
    made.insert(top)
    yield made
    made.try_set_aio_context(main_context())
    made.remove()
    close(top)


def test_a_node_lives_in_the_main_context_unless_it_is_said(io):
    assert get_aio_context(Node("one", NullCo())) is main_context()
    assert get_aio_context(Node("two", NullCo(), io[0])) is io[0]


def test_all_that_is_joined_moves(backend, io):
    top = backend.node
    (below,) = (child.node for child in top.children)
    for ctx in (*io, main_context(), io[0], io[0]):
        try_set_aio_context(below, ctx)
        assert below.ctx is top.ctx is backend.ctx is ctx
        backend.pwrite(5, b"here")
        assert backend.pread(5, 4) == b"here"


def test_whether_a_node_could_move_changes_nothing(backend, io):
    below = backend.node.children[0].node
    ignore = set()
    assert can_set_aio_context(below, io[0], ignore)
    assert below.ctx is backend.ctx is main_context() and ignore == {backend.root, *backend.node.children}
    backend.attach_dev("ide0")
    assert not can_set_aio_context(below, io[0])
    assert can_set_aio_context(below, io[0], {backend.root})
    assert can_set_aio_context(below, main_context()), "it is there already"
    backend.detach_dev()


@pytest.mark.parametrize(
    ("name", "dev", "words"),
    [
        ("disk1", "ide0", "Cannot change iothread of active block backend: block device 'disk1', in use by ide0"),
        ("", "ide0", "Cannot change iothread of active block backend: the block device of ide0"),
        ("", None, "Cannot change iothread of active block backend: an unnamed block device"),
    ],
)
def test_who_refuses_is_named(io, name, dev, words):
    node, other = Node("node", NullCo()), BlockBackend(name)
    other.insert(node)
    if dev:
        other.attach_dev(dev)
    with pytest.raises(LocalError) as refusal:
        try_set_aio_context(node, io[0])
    assert str(refusal.value) == words
    other.allow_aio_context_change = True
    try_set_aio_context(node, io[0])
    assert other.ctx is io[0]


def test_the_user_of_a_backend_moves_it_whoever_uses_it(backend, io):
    backend.attach_dev("ide0")
    backend.try_set_aio_context(io[1])
    assert backend.node.ctx is backend.ctx is io[1]
    backend.detach_dev()


def test_a_backend_without_a_node_moves(io):
    told, backend = [], BlockBackend("disk1")
    backend.add_aio_context_notifier(told.append, lambda: told.append("detach"))
    backend.try_set_aio_context(io[0])
    assert told == ["detach", io[0]] and backend.ctx is backend.home.context is io[0]
    backend.insert(node := Node("node", NullCo(), io[1]))
    assert node.ctx is io[0], "the node comes to the backend"


def test_a_backend_goes_to_a_node_that_stays(io):
    stays = BlockBackend("disk1", io[0])
    stays.insert(node := Node("node", NullCo(), io[0]))
    stays.attach_dev("ide0")
    comes = BlockBackend("disk2", io[1])
    comes.insert(node)
    assert comes.ctx is node.ctx is io[0]
    pinned = BlockBackend("disk3", io[1])
    pinned.attach_dev("ide1")
    with pytest.raises(LocalError, match="'disk1', in use by ide0"):
        pinned.insert(node)
    assert pinned.root is None and pinned.ctx is io[1] and node.ctx is io[0] and len(node.parents) == 2


def test_notifiers_are_told_until_they_are_removed(backend, io):
    told = []
    one = backend.add_aio_context_notifier(lambda ctx: told.append(("backend", ctx)), lambda: told.append("backend"))
    two = add_aio_context_notifier(backend.node, lambda ctx: told.append(("node", ctx)), lambda: told.append("node"))
    backend.try_set_aio_context(io[0])
    assert told == ["backend", "node", ("backend", io[0]), ("node", io[0])]
    backend.remove_aio_context_notifier(one)
    remove_aio_context_notifier(backend.node, two)
    backend.try_set_aio_context(io[1])
    assert len(told) == 4
    for remove in (
        lambda: backend.remove_aio_context_notifier(one),
        lambda: remove_aio_context_notifier(backend.node, two),
    ):
        with pytest.raises(LocalError, match="no such notifier"):
            remove()


def test_notifiers_of_a_backend_follow_it_to_another_node(io):
    told, backend, first, second = [], BlockBackend("disk1"), Node("first", NullCo()), Node("second", NullCo())
    backend.insert(first)
    backend.add_aio_context_notifier(told.append, lambda: None)
    replace_node(first, second)
    try_set_aio_context(first, io[0])
    assert told == [] and backend.node is second
    try_set_aio_context(second, io[1])
    assert told == [io[1]]


def test_edges_and_what_is_below():
    top, middle, bottom = Node("top", CopyOnRead()), Node("middle", Memory(10, cluster=4)), Node("bottom", Memory(10))
    attach_child(top, middle, FILE)
    below = attach_child(middle, bottom, BACKING)
    attach_child(top, bottom, BACKING)
    assert subtree(top) == [top, middle, bottom] and repr(below) == "<backing of node 'middle': bottom>"
    with pytest.raises(LocalError, match="'bottom' cannot use 'top', which uses it"):
        attach_child(bottom, top, FILE)
    with pytest.raises(LocalError, match="cannot use"):
        attach_child(top, top, FILE)
    with pytest.raises(LocalError, match="node 'bottom' is in use by node 'middle', node 'top': detach it before"):
        close(bottom)
    detach_child(below)
    assert middle.children == [] and len(bottom.parents) == 1


def test_closing_goes_down_as_far_as_nobody_else_uses_it():
    closed = []

    class Told(Memory):
        def close(self):
            closed.append(self.node.name)

    top, left, shared = Node("top", Told(8)), Node("left", Told(8)), Node("shared", Told(8))
    attach_child(top, left, FILE)
    attach_child(top, shared, BACKING)
    attach_child(left, shared, BACKING)
    other = BlockBackend("disk1")
    other.insert(left)
    close(top)
    assert closed == ["top"] and not any(child.parent is top for child in (*left.parents, *shared.parents))
    other.remove()
    close(left)
    assert closed == ["top", "left", "shared"]


def test_a_filter_is_put_in_and_taken_out(backend):
    node, log = backend.node, Node("filter", CopyOnRead())
    append(node, log, FILTERED)
    assert backend.node is log and log.children[0].node is node and len(node.parents) == 1
    backend.pwrite(0, b"through")
    replace_node(log, node)
    assert backend.node is node and backend.pread(0, 7) == b"through"
    close(log)
    assert node.parents == [backend.root]


class Stops(DevOps):
    """Notes what it is told."""

    def __init__(self):
        self.told = []
        self.busy = False

    def drained_begin(self):
        self.told.append("begin")

    def drained_end(self):
        self.told.append("end")

    def drained_poll(self):
        return self.busy

    def resize(self):
        self.told.append("resize")


def test_a_device_is_told_once_of_nested_sections(backend):
    ops = Stops()
    backend.attach_dev("ide0", ops)
    below = backend.node.children[0].node
    with drained(below), drained(backend.node), drained(below):
        assert ops.told == ["begin"] and not backend.begin_io()
    assert ops.told == ["begin", "end"] and backend.begin_io()
    backend.end_io()
    backend.detach_dev()


def test_a_device_that_comes_and_goes_in_a_section(backend):
    first, second = Stops(), Stops()
    backend.attach_dev("ide0", first)
    with pytest.raises(LocalError, match="block device 'disk0' is in use by ide0"):
        backend.attach_dev("ide1", second)
    with drained(backend.node):
        backend.detach_dev()
        assert first.told == ["begin", "end"]
        backend.attach_dev("ide1", second)
        assert second.told == ["begin"]
    assert second.told == ["begin", "end"]
    backend.detach_dev()


def test_a_section_waits_for_what_only_the_device_knows(backend):
    ops = Stops()
    ops.busy = True
    backend.attach_dev("ide0", ops)

    def finish():
        ops.busy = False
        kick()

    main_context().bh_schedule_oneshot(finish)
    with drained(backend.node):
        assert not ops.busy
    backend.detach_dev()


def test_requests_wait_for_the_end_of_a_section(backend, io):
    backend.try_set_aio_context(io[0])
    drained_begin(backend.node)
    write = co_enter(backend.home, backend.pwritev(0, [b"later"]), kept=True)
    seen = threading.Event()
    io[0].bh_schedule_oneshot(lambda: io[0].bh_schedule_oneshot(seen.set))
    assert seen.wait(10) and not write.done and not backend.in_flight
    backend.try_set_aio_context(io[1])
    drained_end(backend.node)
    assert backend.pread(0, 5) in (b"later", bytes(5))
    write.completion.on_done(kick)
    wait_while(io[1], lambda: not write.done)
    assert backend.pread(0, 5) == b"later"


def test_the_graph_is_changed_in_the_main_thread_only(backend):
    said = []

    def try_all():
        for call in (
            lambda: try_set_aio_context(backend.node, main_context()),
            lambda: attach_child(backend.node, Node("x", NullCo()), BACKING),
            lambda: detach_child(backend.node.children[0]),
            lambda: replace_node(backend.node, backend.node),
            lambda: close(Node("y", NullCo())),
        ):
            try:
                call()
            except LocalError as error:
                said.append(str(error))

    thread = threading.Thread(target=try_all)
    thread.start()
    thread.join()
    assert len(said) == 5 and all("in another thread than the main context's" in one for one in said), said


def test_moves_under_load_on_threads(backend, io):
    """Requests of a thread go on while the disk is moved; each is done, in the thread where the disk is then."""
    rounds, done, wrong = 200, [], []

    async def use(number):
        offset, data = number % 64 * 16, number.to_bytes(16, "big")
        await backend.pwritev(offset, [data])
        got = bytearray(16)
        await backend.preadv(offset, [got])
        if bytes(got) != data or not backend.ctx.in_home_thread:
            wrong.append(number)
        done.append(number)
        kick()

    for number in range(rounds):
        co_enter(backend.home, use(number))
        backend.try_set_aio_context((*io, main_context())[number % 3])
        if number % 16 == 15:
            wait_while(main_context(), lambda upto=number: len(done) <= upto)
    wait_while(main_context(), lambda: len(done) < rounds)
    assert sorted(done) == list(range(rounds)) and not wrong


def test_only_a_context_that_is_served_is_one_to_move_to(backend, io):
    stopped = IOThread("stopped").start()
    stopped.stop()
    empty = BlockBackend("empty")
    for ctx, words in (
        (stopped, "expected a context to move to, got .*IOThread.*: give its .context"),
        ("fast", "expected a context to move to, got 'fast'"),
        (stopped.context, "context stopped: expected one to move to, got one that was stopped"),
    ):
        for move in (backend.try_set_aio_context, empty.try_set_aio_context):
            with pytest.raises(LocalError, match=words):
                move(ctx)
        with pytest.raises(LocalError, match=words):
            try_set_aio_context(backend.node, ctx)
        assert not can_set_aio_context(backend.node, ctx)
        assert backend.ctx is backend.node.ctx is empty.ctx is main_context()
        assert not backend.node.quiesce_counter and not main_context().fds.external_disabled


def test_a_node_that_takes_the_place_of_another_comes(backend, io):
    """Also where the old one has several users, and not where the new one must stay elsewhere."""
    other, below = Node("other", Memory(1 << 16), io[0]), backend.node.children[0].node
    user = BlockBackend("user", io[0])
    user.insert(other)
    user.attach_dev("ide0")
    with pytest.raises(LocalError, match="'user', in use by ide0"):
        replace_node(below, other)
    assert backend.node.children[0].node is below and other.parents == [user.root]
    user.close()
    replace_node(below, other)
    assert backend.node.children[0].node is other
    assert other.ctx is backend.ctx is main_context()
    backend.pwrite(0, b"there")
    assert other.driver.data[:5] == b"there" and not other.quiesce_counter


def test_who_comes_to_a_drained_node_ends_what_it_does_before(backend):
    """The parent of a new edge has a request under way: there is none when it is joined to a drained node."""
    below = Node("backing", Memory(1 << 16))
    with drained(below):
        assert backend.begin_io()
        main_context().bh_schedule_oneshot(backend.end_io)
        attach_child(backend.node, below, BACKING)
        assert not backend.in_flight and below.parents[0].quiesced
    assert not backend.quiesce_counter


def test_a_section_that_cannot_begin_leaves_none(io):
    """A callback may drain nodes of its own context only."""
    first, second = Node("first", Memory(4096), io[0]), Node("second", Memory(4096), io[1])
    user = BlockBackend("user", io[0])
    user.insert(first)
    said = []

    def attempt():
        try:
            drained_begin(first, second)
        except LocalError as error:
            said.append(str(error))

    user.home.run_in(attempt)
    assert len(said) == 1 and "cannot acquire context io1" in said[0]
    assert (first.quiesce_counter, second.quiesce_counter, user.quiesce_counter) == (0, 0, 0)
    assert not io[0].fds.external_disabled and user.pread(0, 1) == b"\0"
    user.close()


def test_a_section_ends_as_often_as_it_began(backend):
    node, other = backend.node, Node("other", NullCo())
    drained_begin(node)
    for nodes in ((node, other), (node, node), (other,)):
        with pytest.raises(LocalError, match="has no drained section that could end"):
            drained_end(*nodes)
        assert (node.quiesce_counter, other.quiesce_counter) == (1, 0)
    drained_end(node)
    with pytest.raises(LocalError, match="no drained section"):
        drained_end(node)


def test_a_section_does_not_wait_for_a_thread_that_has_ended():
    thread = IOThread("gone").start()
    user = BlockBackend("user", thread.context)
    user.insert(Node("node", NullCo(), thread.context))
    assert user.home.run_in(user.begin_io)
    thread.stop()
    with pytest.raises(LocalError, match="<node 'node' in gone>: its thread has ended with requests under way"):
        drained_begin(user.node)
    assert not user.quiesce_counter and not user.node.quiesce_counter
    coro = user.flush()
    with pytest.raises(LocalError, match="its thread has ended before"):
        user.run(coro)
    coro.close()
