"""Sphinx configuration of the manual: `make docs`."""

from importlib.metadata import version as version_of

project = "outboard"
author = "the outboard contributors"
copyright = "the outboard contributors"
release = version = version_of("outboard")

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"

html_theme = "furo"
html_title = f"outboard {release}"
