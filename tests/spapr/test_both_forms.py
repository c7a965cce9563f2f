"""The compiled and the plain form do the same to the letter: one journal of fifty thousand operations, read from both.

`journal.txt` has its digests, so that a run that has one form only checks the same. After an intended change:
python -m tests.spapr.journal | tail -n +2 > tests/spapr/journal.txt
"""

import subprocess
import sys
from pathlib import Path

import pytest

from outboard import core
from tests.spapr import journal

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RECORDED = (HERE / "journal.txt").read_text().split()
PLAIN = [sys.executable, "-m", "bench.plain", "tests.spapr.journal"]


@pytest.fixture(scope="module")
def plain():
    """The digests of the plain form, from a process beside this one."""
    process = subprocess.Popen(PLAIN, stdout=subprocess.PIPE, text=True, cwd=ROOT) if core() == "compiled" else None
    yield process
    if process:
        process.kill()
        process.communicate()


def told(digests):
    wrong = [number for number, pair in enumerate(zip(digests, RECORDED, strict=True)) if pair[0] != pair[1]]
    return f"chapters {wrong} differ; python -m tests.spapr.journal {wrong[0]} shows one" if wrong else ""


def test_this_form_does_what_is_recorded(plain):
    assert told([journal.digest(number) for number in range(journal.CHAPTERS)]) == ""


def test_the_plain_form_does_the_same(plain):
    if not plain:
        pytest.skip("this run has the plain form only, which the other test is about")
    form, *digests = plain.communicate(timeout=100)[0].split()
    assert form == "plain"
    assert told(digests) == ""


def test_the_journal_has_something_of_everything():
    lines = [line for number in range(5, 15) for line in journal.chapter(number)]
    assert journal.CHAPTERS * journal.OPERATIONS >= 50_000
    for event in ("xive_tctx_notify", "xive_tctx_accept", "xive_end_source_read", "spapr_xive_esb", "xive_presenter"):
        assert sum(line.startswith(event) for line in lines) > 50, event
    for text in ("Unknown LISN", "priority", "invalid size", "rejected", "XIVE: invalid", "not dispatched"):
        assert any(text in line for line in lines), text
    answers = [line.rpartition(": ")[2] for line in lines if line[0].isdigit()]
    assert {"'refused'", "(-0x37)", "(-0x38)", "(-0x39)", "(-0x3a)", "(-0x4)", "(-0x3)", "(-0x2)", "(-0x1)"} <= set(
        answers
    )
    assert answers.count("'refused'") < len(answers) / 10
