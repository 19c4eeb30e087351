"""How the site is built: see "Building the site" in the developer guide."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

from own_members import own_members  # noqa: E402

from skwakesleep import __version__  # noqa: E402

project = "skwakesleep"
author = "The skwakesleep developers"
copyright = author
version = release = __version__

extensions = [
    "mathml",
    "myst_parser",
    "numpydoc",
    "public_names",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_gallery.gen_gallery",
    "sphinxcontrib.bibtex",
]
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}
exclude_patterns = ["_build", "**/GALLERY_HEADER.rst"]
templates_path = ["_templates"]
default_role = "public"  # single backticks: a link where there is something of the name, emphasis elsewhere
bibtex_bibfiles = ["references.bib"]

# ---------------------------------------------------------------------- reference

autosummary_context = {"own_members": own_members}
toc_object_entries_show_parents = "hide"
autodoc_typehints = "none"  # the docstrings have types, with shapes
numpydoc_show_class_members = False  # the template lists them
suppress_warnings = ["config.cache"]  # of autosummary_context, which holds a function
# Attributes, which are described on the page of their class, and what a class has from scikit-learn.
nitpick_ignore_regex = [("py:obj", r"[a-z_]+_|n_features|n_params|set_output|set_params")]
# Names of other packages, which only the network could resolve.
foreign = [("py:.*", r"(numpy|scipy|sklearn|matplotlib|pandas|joblib|dask|ray|optuna|mlflow|onnx|skl2onnx)\..*")]

# Links to other packages' sites need their inventories: off unless asked for, so that the site builds offline.
if os.environ.get("SKWAKESLEEP_INTERSPHINX") or os.environ.get("READTHEDOCS"):
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "scipy": ("https://docs.scipy.org/doc/scipy", None),
        "sklearn": ("https://scikit-learn.org/stable", None),
        "matplotlib": ("https://matplotlib.org/stable", None),
    }
else:
    nitpick_ignore_regex += foreign

# ---------------------------------------------------------------------- gallery

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"plot_",
    "ignore_pattern": r"benchmarks",  # these measure, for minutes, and print tables
    "backreferences_dir": "api/generated/backreferences",
    "doc_module": ("skwakesleep",),
    "reference_url": {"skwakesleep": None},
    "within_subsection_order": "FileNameSortKey",
    "thumbnail_size": (640, 400),  # the cards of site.css, at two pixels for one of theirs
    "remove_config_comments": True,
    "download_all_examples": False,
    "show_memory": False,
    "write_computation_times": False,  # its pages load scripts from the network, and fill searches
}

# ---------------------------------------------------------------------- pages

html_theme = "pydata_sphinx_theme"
html_title = "skwakesleep"
html_favicon = "_static/favicon.svg"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system
html_theme_options = {
    "github_url": "https://github.com/skwakesleep/skwakesleep",
    "header_links_before_dropdown": 4,  # more would not fit on one line
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_sidebars = {page: [] for page in ("index", "auto_examples/index", "whats_new", "references", "glossary")}


def setup(app):
    """Do without the gallery's pictures when it is left out by ``-D plot_gallery=0``."""

    def forgive_missing_pictures(app, config):
        if str(config.plot_gallery) in ("0", "False"):
            config.suppress_warnings = [*config.suppress_warnings, "image.not_readable"]

    app.connect("config-inited", forgive_missing_pictures)
