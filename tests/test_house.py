"""The package as it is installed: its form, its version, what starting it costs."""

import importlib
import importlib.metadata
import importlib.util
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = {"PIL", "asyncio", "numpy", "qemu"}


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def hot_modules() -> list[str]:
    """Name the modules that setup.py compiles."""
    package = ROOT / "src" / "outboard"
    augmenting = [
        pxd.relative_to(package.parent).with_suffix("")
        for pxd in sorted(package.rglob("*.pxd"))
        if pxd.with_suffix(".py").exists() and not pxd.read_text().startswith("# inline: cimported, never compiled")
    ]
    return [".".join(path.parts) for path in augmenting]


@pytest.mark.parametrize("module", hot_modules())
def test_every_hot_module_has_the_form_that_the_run_is_about(module):
    compiled, plain = (os.environ.get(name) == "1" for name in ("REQUIRE_CYTHON", "SKIP_CYTHON"))
    if not compiled and not plain:
        pytest.skip("neither REQUIRE_CYTHON=1 nor SKIP_CYTHON=1 says which form is under test")
    origin = Path(importlib.util.find_spec(module).origin)
    assert origin.suffix == (".so" if compiled else ".py"), origin


def test_nothing_is_required_at_run_time():
    requires = importlib.metadata.requires("outboard") or []
    assert [need for need in requires if "extra ==" not in need] == []


def test_the_package_carries_its_types_and_data():
    source, package = ROOT / "src" / "outboard", Path(importlib.util.find_spec("outboard").origin).parent
    files = [path.relative_to(source) for path in source.rglob("*.*") if path.suffix not in {".so", ".pyc"}]
    files = [path for path in files if not any(part.startswith(".") for part in path.parts)]
    assert (package / "py.typed").exists()
    assert [str(path) for path in files if not (package / path).exists()] == []


def test_starting_imports_nothing_heavy():
    show = "import sys, outboard.cli.main; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, check=True).stdout
    assert HEAVY.isdisjoint(loaded.split())


def test_there_is_one_version():
    version = project()["version"]
    command = [Path(sys.executable).parent / "outboard", "--version"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert version in said
    assert importlib.metadata.version("outboard") == importlib.import_module("outboard").__version__ == version
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()


def test_every_command_is_there():
    for name, target in project()["scripts"].items():
        module, _, function = target.partition(":")
        assert callable(getattr(importlib.import_module(module), function)), name
