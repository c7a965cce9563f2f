"""Answers that come after the device went on without them."""

import struct

import pytest

from outboard.errors import ProtocolError
from outboard.spec.vhost_user_gpu import Req
from outboard.vhost_user.display_sender import DisplaySender

DISPLAY_INFO = struct.pack("=III", 3, 4, 408)
EDID = struct.pack("=III", 11, 4, 1056) + bytes(1056)


@pytest.fixture
def sender():
    sender = DisplaySender()
    sender.open()
    sender.receive(struct.pack("=IIIQ", 1, 4, 8, 3))
    return sender


def answer(text):
    return DISPLAY_INFO + text.ljust(408, b"\0")


def test_a_late_answer_is_dropped_and_the_session_goes_on(sender):
    sender.ask(Req.GET_DISPLAY_INFO)
    sender.give_up()
    assert sender.receive(answer(b"late")) == []
    sender.edid(0)
    assert [reply.req for reply in sender.receive(EDID)] == [Req.GET_EDID]


def test_a_late_answer_before_that_of_another_question(sender):
    sender.ask(Req.GET_DISPLAY_INFO)
    sender.give_up()
    sender.edid(0)
    assert [reply.req for reply in sender.receive(answer(b"late") + EDID)] == [Req.GET_EDID]


def test_of_two_answers_to_one_question_the_first_counts(sender):
    sender.ask(Req.GET_DISPLAY_INFO)
    sender.give_up()
    sender.ask(Req.GET_DISPLAY_INFO)
    (reply,) = sender.receive(answer(b"first") + answer(b"second"))
    assert reply.payload.rstrip(b"\0") == b"first"


def test_there_is_one_late_answer_for_each_question_given_up(sender):
    sender.ask(Req.GET_DISPLAY_INFO)
    sender.give_up()
    assert sender.receive(answer(b"late")) == []
    with pytest.raises(ProtocolError, match="no question is open"):
        sender.receive(answer(b"once too often"))
