"""Compile the hot modules: every `X.py` under src with an augmenting `X.pxd` beside it.

SKIP_CYTHON=1 compiles none, REQUIRE_CYTHON=1 makes any failure fatal; else a failure leaves plain Python and one line
that says so. All are compiled or none is: compiled modules cimport each other's types, so that half a set could not be
imported.
"""

import os
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.editable_wheel import editable_wheel

SRC = Path("src")
INLINE = "# inline: cimported, never compiled"  # first line of a .pxd that holds C primitives only
DIRECTIVES = {
    "language_level": 3,
    "annotation_typing": False,  # annotations are for mypy; the types are in the .pxd, and the two may not both speak
    "boundscheck": True,  # a hostile index that slips through is an IndexError, not memory
    "wraparound": True,
    "cdivision": True,
    "initializedcheck": False,
}
SHARED = "outboard._cyutility"  # what all compiled modules need of Cython, compiled once instead of in each
SKIP = os.environ.get("SKIP_CYTHON") == "1"
REQUIRE = os.environ.get("REQUIRE_CYTHON") == "1"


def extension(source: Path) -> Extension:
    """Declare the compiled form of `source`, a module under src."""
    name = ".".join(source.relative_to(SRC).with_suffix("").parts)
    return Extension(name, [str(source)], extra_compile_args=["-O3", "-g0"])


def shared() -> Extension:
    """Declare the module of Cython's own utilities; Cython writes its source."""
    return Extension(SHARED, [str(SRC / SHARED.replace(".", "/")) + ".c"], extra_compile_args=["-O2", "-g0"])


def hot_modules() -> list[Path]:
    """List the modules to compile, by their source."""
    types = sorted(SRC.glob("outboard/**/*.pxd"))
    return [
        pxd.with_suffix(".py")
        for pxd in types
        if pxd.with_suffix(".py").exists() and pxd.read_text().partition("\n")[0].strip() != INLINE
    ]


class compile_all_or_none(build_ext):
    """Translate and compile; without REQUIRE_CYTHON a failure drops what was made and is told in one line."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

    def run(self) -> None:
        try:
            self.translate()
            super().run()
        except Exception as error:  # no Cython, no compiler, no headers, a refusal of any of them
            if REQUIRE:
                raise
            for made in self.extensions:
                Path(self.get_ext_fullpath(made.name)).unlink(missing_ok=True)
            self.extensions = []
            print(f"outboard: not compiled, plain Python instead: {type(error).__name__}: {error}", file=sys.stderr)

    def translate(self) -> None:
        """Put the generated C of every module in the temporary build folder, and in the place of its source."""
        from Cython.Build import cythonize

        made = cythonize(
            self.extensions,
            include_path=[str(SRC)],
            build_dir=self.build_temp,
            compiler_directives=DIRECTIVES,
            shared_utility_qualified_name=SHARED,
            nthreads=os.cpu_count() or 1,
            force=True,
        )
        sources = {module.name: module.sources for module in made}
        for module in self.extensions:
            module.sources = sources[module.name]


class start_clean(editable_wheel):
    """Drop the compiled modules of an earlier install: Python would prefer them to a newer source."""

    def run(self) -> None:
        for compiled in SRC.rglob("*.so"):
            compiled.unlink()
        super().run()


setup(
    ext_modules=[] if SKIP else [*(extension(source) for source in hot_modules()), shared()],
    cmdclass={"build_ext": compile_all_or_none, "editable_wheel": start_clean},
)
