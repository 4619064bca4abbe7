"""Settings of Sphinx for the site; ``docs/site/build.py`` assembles the pages and calls it."""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_EXTRA = os.environ.get("COURSE_SITE_EXTRA")  # what build.py copies as it is: pictures, notebooks

project = "Variational autoencoders for image generation"
html_title = "Variational autoencoders"
language = "en"
author = copyright = ""
html_show_copyright = html_show_sphinx = False

extensions = [
    "myst_nb",
    "sphinx_design",
    "sphinxcontrib.bibtex",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
]
exclude_patterns = ["**.ipynb_checkpoints"]

# --- pages and notebooks -------------------------------------------------------------------------
nb_execution_mode = "off"  # the stored outputs are the ones that the tests compare
nb_ipywidgets_js = {}  # the theme's default is fetched from elsewhere; no output here needs it
nb_merge_streams = True
myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath", "html_image"]
myst_heading_anchors = 4
myst_links_external_new_tab = False
suppress_warnings = [
    "mystnb.unknown_mime_type",
    "design.card_legacy",  # the separator in a card that all releases understand
    "myst.header",  # an exercise starts below the hints of the one before it
    "myst.xref_missing",  # anchors set by hand in HTML; the tests look for each of them
]

# --- formulas -----------------------------------------------------------------------------------
# MathJax out of a package of the package index: build.py copies it next to the pages.
mathjax_path = "mathjax/tex-chtml.js"
mathjax3_config = {
    "options": {"enableMenu": False},  # the menu makes each formula a stop of the tab key
    "tex": {"packages": {"[-]": ["require"]}},
}

# --- the library's reference ----------------------------------------------------------------------
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_mock_imports = [
    name
    for name in ("torch", "torchvision", "sklearn", "scipy", "constriction", "nbgrader", "dask")
    if find_spec(name) is None
]
python_maximum_signature_line_length = 60
python_use_unqualified_type_names = True
napoleon_numpy_docstring = False
napoleon_custom_sections = [("Attributes", "params_style")]  # "a, b: ..." is allowed in it
add_module_names = False

# --- bibliography ---------------------------------------------------------------------------------
bibtex_bibfiles = ["references.bib"]
bibtex_default_style = "alpha"
bibtex_tooltips = False

# --- how it looks ---------------------------------------------------------------------------------
html_theme = "sphinx_book_theme"
html_theme_options = {
    "use_download_button": False,  # each page has a link to its own notebook
    "use_fullscreen_button": False,
    "home_page_in_toc": True,
    "show_navbar_depth": 1,
    "show_toc_level": 2,
    "toc_title": "On this page",
    "navbar_persistent": [],
    "search_as_you_type": False,  # it would load the index of all pages on each of them
}
html_use_index = html_domain_indices = False  # the search and the pages of the rooms do
html_favicon = "_static/icon.svg"
html_static_path = ["_static"]
html_css_files = sorted(path.name for path in (_HERE / "_static").glob("*.css"))
# Before MathJax, which then finds the quizzes in their final form.
html_js_files = [
    (path.name, {"defer": "defer", "priority": 400})
    for path in sorted((_HERE / "_static").glob("*.js"))
]
html_copy_source = False  # the sources are the notebooks, which can be downloaded
html_extra_path = [_EXTRA] if _EXTRA else []
pygments_style = "a11y-high-contrast-light"
html_context = {"default_mode": "auto"}


def _escape_bars(app, what, name, obj, options, lines: list[str]) -> None:
    """Keep the bars of log p(x|z) and |det J|, which reStructuredText takes for its own."""
    for i, line in enumerate(lines):
        parts = re.split(r"(``[^`]*``)", line)
        parts[::2] = [re.sub(r"(?<!\\)\|", r"\|", part) for part in parts[::2]]
        lines[i] = "".join(parts)


def setup(app) -> None:
    app.connect("autodoc-process-docstring", _escape_bars)
