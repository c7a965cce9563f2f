"""The page's example prints what the page says."""

import io
import runpy
from contextlib import redirect_stdout
from pathlib import Path

import pytest

pytestmark = pytest.mark.alike

PAGE = Path(__file__).parents[3] / "docs" / "machine" / "guest.md"


def test_the_example_prints_what_the_page_says():
    out = io.StringIO()
    with redirect_stdout(out):
        runpy.run_path(str(PAGE.parent / "examples" / "edu.py"), run_name="__main__")
    assert out.getvalue() == (PAGE.parent / "examples" / "edu.out").read_text()
    assert "examples/edu.py" in PAGE.read_text() and "examples/edu.out" in PAGE.read_text()
