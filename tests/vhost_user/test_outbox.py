"""The outbox against a plain model: a string of bytes, and fds that stand at places in it."""

from hypothesis import given, settings
from hypothesis import strategies as st

from outboard.vhost_user.outbox import STAGING, Outbox


class Wire:
    """Takes bytes out of an outbox as a socket would; `fds` are (place in the stream, fd)."""

    def __init__(self, outbox):
        self.outbox = outbox
        self.stream = bytearray()
        self.fds = []
        self.to_close = []

    def take(self, most):
        """Write at most `most` bytes by one call; return how many."""
        parts, fds = self.outbox.parts()
        data = b"".join(bytes(part) for part in parts)[:most]
        if data:
            self.fds += [(len(self.stream), fd) for fd in fds]
            self.to_close += self.outbox.advance(len(data))
            self.stream += data
        return len(data)

    def drain(self):
        while not self.outbox.empty:
            assert self.take(1 << 30)


def test_it_is_born_empty():
    outbox = Outbox()
    assert outbox.empty
    assert outbox.room() == STAGING == 262144
    assert outbox.parts() == ([], [])


def test_staged_bytes_leave_in_order_and_make_room():
    outbox = Outbox()
    outbox.put(b"one ")
    outbox.put(b"two ")
    assert outbox.room() == STAGING - 8
    wire = Wire(outbox)
    assert wire.take(6) == 6
    outbox.put(b"three")
    wire.drain()
    assert wire.stream == b"one two three"
    assert outbox.room() == STAGING


def test_borrowed_bytes_are_not_copied_until_they_are_owned():
    outbox, lent = Outbox(), bytearray(b"before")
    outbox.put(b"<")
    outbox.borrow(memoryview(lent))
    outbox.put(b">")
    assert outbox.borrowed
    lent[:] = b"during"
    outbox.own()
    assert not outbox.borrowed
    lent[:] = b"after."
    wire = Wire(outbox)
    wire.drain()
    assert wire.stream == b"<during>"


def test_a_loan_ends_when_all_has_left():
    outbox = Outbox()
    outbox.borrow(memoryview(b"abc"))
    wire = Wire(outbox)
    wire.take(2)
    assert outbox.borrowed
    wire.take(1)
    assert not outbox.borrowed


def test_fds_go_with_the_first_byte_of_their_message_and_are_handed_back_once():
    outbox = Outbox()
    outbox.put(b"aa")
    outbox.put(b"bb", [7])
    outbox.put(b"cc", [8, 9])
    outbox.put(b"dd")
    wire = Wire(outbox)
    while wire.take(1):
        pass
    assert wire.stream == b"aabbccdd"
    assert wire.fds == [(2, 7), (4, 8), (4, 9)]
    assert wire.to_close == [7, 8, 9]
    assert outbox.clear() == []


def test_clearing_hands_unsent_fds_back():
    outbox = Outbox()
    outbox.put(b"aa", [7])
    outbox.put(b"bb", [8])
    wire = Wire(outbox)
    wire.take(1)
    assert wire.to_close == [7]
    assert outbox.clear() == [8]
    assert outbox.empty
    assert outbox.clear() == []


PIECE = st.integers(1, 3000)
STEP = st.one_of(
    st.tuples(st.just("put"), PIECE, st.just(0)),
    st.tuples(st.just("put"), PIECE, st.integers(1, 3)),
    st.tuples(st.just("stage"), PIECE, st.just(0)),
    st.tuples(st.just("borrow"), PIECE, st.just(0)),
    st.tuples(st.just("take"), st.integers(1, 8000), st.just(0)),
    st.tuples(st.just("own"), st.just(0), st.just(0)),
    st.tuples(st.just("drain"), st.just(0), st.just(0)),
    st.tuples(st.just("clear"), st.just(0), st.just(0)),
)


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(steps=st.lists(STEP, max_size=60))
def test_any_use_gives_the_model_s_stream(steps):
    outbox = Outbox()
    wire = Wire(outbox)
    model, number = bytearray(), 100
    fds, dropped, lent, loans = [], [], [], []
    for kind, length, count in steps:
        data = bytes((number + at) & 0xFF for at in range(length))
        if kind in ("put", "stage") and outbox.room() < length:
            continue
        if kind == "put":
            mine = list(range(number, number + count))
            fds += [(len(model), fd) for fd in mine]
            outbox.put(data, mine or None)
            model += data
        elif kind == "stage":
            at = outbox.stage(length)
            outbox.staging[at : at + length] = data
            model += data
        elif kind == "borrow":
            lent.append(bytearray(data))
            outbox.borrow(memoryview(lent[-1]))
            model += data
            loans.append(len(model))
        elif kind == "take":
            wire.take(length)
        elif kind == "own":
            outbox.own()
            for one in lent:
                one[:] = bytes(len(one))
            lent, loans = [], []
        elif kind == "drain":
            wire.drain()
            assert outbox.room() == STAGING
        else:
            dropped += outbox.clear()
            del model[len(wire.stream) :]
            fds = [(at, fd) for at, fd in fds if fd not in dropped]
            loans = []
        number += 7
        assert outbox.empty == (len(wire.stream) == len(model))
        assert outbox.borrowed or not any(end > len(wire.stream) for end in loans)
        assert wire.stream == model[: len(wire.stream)]
    wire.drain()
    assert wire.stream == model
    assert wire.fds == fds
    assert wire.to_close == [fd for _, fd in fds]
    assert not set(wire.to_close) & set(dropped)
