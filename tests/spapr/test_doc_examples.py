"""The examples of the manual's XIVE pages print what the manual says. `python tests/spapr/test_doc_examples.py` writes
the outputs anew."""

import io
import os
import runpy
import shlex
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from outboard.cli.main import main

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "xive" / "examples"
NAMES = sorted(path.name for path in EXAMPLES.glob("*") if path.suffix in (".py", ".cmd"))


def printed(name: str) -> str:
    """Run a program, or an `outboard` command from the root of the repository, and return what it prints."""
    out, path = io.StringIO(), EXAMPLES / name
    with redirect_stdout(out), redirect_stderr(out), chdir(ROOT):
        if path.suffix == ".py":
            runpy.run_path(str(path), run_name="__main__")
        else:
            main(shlex.split(path.read_text())[1:])
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


@pytest.mark.parametrize("name", NAMES)
def test_example_prints_what_the_manual_says(name):
    assert printed(name) == (EXAMPLES / name).with_suffix(".out").read_text()


def test_every_output_has_its_example():
    outputs = {path.stem for path in EXAMPLES.glob("*.out")}
    assert outputs == {Path(name).stem for name in NAMES}


def test_the_pages_show_every_example():
    pages = "".join(page.read_text() for page in EXAMPLES.parent.glob("*.md"))
    assert [name for name in NAMES if f"examples/{Path(name).stem}." not in pages] == []


def test_the_readme_prints_what_it_says():
    (block,) = [part for part in (ROOT / "README.md").read_text().split("```python\n") if "SpaprXive" in part]
    program, out = block.partition("```")[0], io.StringIO()
    with redirect_stdout(out):
        exec(program, {})
    said = next(line.rpartition("# ")[2] for line in program.splitlines() if "cpu.irq()" in line)
    assert out.getvalue().splitlines()[0] == said


if __name__ == "__main__":
    for name in NAMES:
        (EXAMPLES / name).with_suffix(".out").write_text(printed(name))
        print(os.path.relpath(EXAMPLES / name))
