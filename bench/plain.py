"""Run a module with outboard in its plain form, whatever is compiled beside it.

python -m bench.plain bench.xive --only calls
"""

import importlib.util
import runpy
import sys
from collections.abc import Callable
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, SourceFileLoader
from pathlib import Path


def sources_only(root: Path) -> Callable[[str], FileFinder]:
    """Return a path hook that finds nothing but sources below `root`."""
    below = FileFinder.path_hook((SourceFileLoader, SOURCE_SUFFIXES))

    def hook(path: str) -> FileFinder:
        if not Path(path).is_relative_to(root):
            raise ImportError(path)
        return below(path)  # type: ignore[return-value]

    return hook


def insist() -> None:
    """Import outboard as plain Python from now on. Raises ImportError when some of it is imported already."""
    if any(name.partition(".")[0] == "outboard" for name in sys.modules):
        raise ImportError("outboard is imported already")
    found = importlib.util.find_spec("outboard")
    assert found and found.origin
    sys.path_hooks.insert(0, sources_only(Path(found.origin).parent))
    sys.path_importer_cache.clear()


if __name__ == "__main__":
    insist()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
