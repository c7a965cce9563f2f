"""Sphinx configuration of the manual: `make docs`."""

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "outboard"
author = "the outboard contributors"
copyright = "the outboard contributors"
release = version = version_of("outboard")

extensions = ["myst_parser", "sphinx.ext.autodoc", "wire", "facts", "bits", "kit"]
exclude_patterns = ["_build", "_ext"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4
autodoc_member_order = "bysource"
autodoc_typehints = "signature"

highlight_language = "text"

html_theme = "furo"
html_title = f"outboard {release}"
