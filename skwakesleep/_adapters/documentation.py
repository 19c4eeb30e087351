"""Links from scikit-learn's HTML diagrams to the documentation."""

# The same as the project's URL of that name, which package indices show.
SITE = "https://skwakesleep.readthedocs.io"


class DocumentationLinkMixin:
    """Link the diagram of an estimator to its page."""

    _doc_link_module = "skwakesleep"
    _doc_link_template = SITE + "/en/latest/api/generated/{estimator_module}.{estimator_name}.html"
