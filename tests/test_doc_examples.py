"""The manual's examples print what the manual says. `python tests/test_doc_examples.py` writes the outputs anew."""

import io
import os
import runpy
import shlex
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from outboard.cli.main import main

ROOT = Path(__file__).parents[1]
FOLDERS = [ROOT / "docs" / part / "examples" for part in ("aio", "block", "display", "machine", "xive")]
EXAMPLES = sorted(path for folder in FOLDERS for path in folder.glob("*") if path.suffix in (".py", ".cmd"))


def printed(path: Path) -> str:
    """Run a program, or an `outboard` command from the root of the repository, and return what it prints."""
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(out), chdir(ROOT):
        if path.suffix == ".py":
            runpy.run_path(str(path), run_name="__main__")
        else:
            main(shlex.split(path.read_text())[1:])
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.parent.name}-{path.name}")
def test_example_prints_what_the_manual_says(path):
    assert printed(path) == path.with_suffix(".out").read_text()


def test_every_output_has_its_example():
    outputs = {path.with_suffix("") for folder in FOLDERS for path in folder.glob("*.out")}
    assert outputs == {path.with_suffix("") for path in EXAMPLES}


def test_the_pages_show_every_example():
    pages = {folder: "".join(page.read_text() for page in folder.parent.glob("*.md")) for folder in FOLDERS}
    assert [path for path in EXAMPLES if f"examples/{path.stem}." not in pages[path.parent]] == []


def test_the_readme_prints_what_it_says():
    (block,) = [part for part in (ROOT / "README.md").read_text().split("```python\n") if "SpaprXive" in part]
    program, out = block.partition("```")[0], io.StringIO()
    with redirect_stdout(out):
        exec(program, {})
    said = next(line.rpartition("# ")[2] for line in program.splitlines() if "cpu.irq()" in line)
    assert out.getvalue().splitlines()[0] == said


if __name__ == "__main__":
    for path in EXAMPLES:
        path.with_suffix(".out").write_text(printed(path))
        print(os.path.relpath(path))
