"""Settings of the documentation site: `make docs` writes it to build/docs/."""

project = "moebridge"
author = "The moebridge authors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
html_theme = "alabaster"
exclude_patterns = ["_build"]
myst_heading_anchors = 3
autodoc_typehints = "description"
