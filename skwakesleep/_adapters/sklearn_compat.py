"""The only module that imports private parts of scikit-learn, or parts that only some versions have."""

from functools import wraps
from importlib.util import find_spec
from typing import Any

from sklearn.utils import _safe_indexing as safe_indexing  # noqa: F401

# "as" marks names that other modules import from here.
from sklearn.utils._indexing import _get_column_indices as column_indices  # noqa: F401
from sklearn.utils._missing import is_pandas_na as is_pandas_na
from sklearn.utils._param_validation import HasMethods as HasMethods
from sklearn.utils._param_validation import Interval as Interval
from sklearn.utils._param_validation import InvalidParameterError as InvalidParameterError
from sklearn.utils._param_validation import StrOptions as StrOptions
from sklearn.utils._param_validation import validate_parameter_constraints as validate_parameter_constraints
from sklearn.utils._set_output import _get_output_config
from sklearn.utils.validation import _check_feature_names_in as check_feature_names_in  # noqa: F401
from sklearn.utils.validation import _num_samples as num_samples  # noqa: F401

HAS_CALLBACKS = find_spec("sklearn.callback") is not None


def output_library(estimator: Any) -> str:
    """Return the library of data frames that ``set_output`` or the configuration asks for; empty for none."""
    library = _get_output_config("transform", estimator)["dense"]
    return "" if library == "default" else library


class CallbackSupportMixin:
    """scikit-learn's mixin of the same name, imported only if there is a callback.

    Importing `sklearn.callback` imports optional packages, and versions before 1.9 do not have it.
    """

    if HAS_CALLBACKS:

        def set_callbacks(self, *callbacks: Any) -> Any:
            """Set callbacks for the estimator.

            Parameters
            ----------
            *callbacks : callback instances
                The callbacks to set, for example ``sklearn.callback.ProgressBar()``; none removes those there are.

            Returns
            -------
            self : estimator
                The estimator itself.

            Raises
            ------
            TypeError
                If something else than a callback is given.

            Examples
            --------
            >>> from skwakesleep import HelmholtzMachine
            >>> from skwakesleep.callbacks import ScoreMonitor
            >>> from skwakesleep.datasets import make_bars
            >>> X, _ = make_bars(100, random_state=0)
            >>> monitor = ScoreMonitor(X[80:])
            >>> machine = HelmholtzMachine(8, max_iter=2, tol=None, random_state=0).set_callbacks(monitor).fit(X[:80])
            >>> len(monitor.scores_)
            2
            """
            from sklearn.callback import CallbackSupportMixin

            return CallbackSupportMixin.set_callbacks(self, *callbacks)

    # The two attributes are those of scikit-learn's mixin: callbacks of the estimator's own, and of a search around it.
    def _has_callbacks(self) -> bool:
        """Return whether the estimator has callbacks, or a meta-estimator that may have some."""
        return hasattr(self, "_skl_callbacks") or hasattr(self, "_parent_callback_ctx")

    def _init_callback_context(self, **options: Any) -> Any:
        from sklearn.callback import CallbackSupportMixin

        return CallbackSupportMixin._init_callback_context(self, **options)


def with_callbacks(method: Any) -> Any:
    """Decorate `method` with scikit-learn's decorator of the same name if there are callbacks."""

    @wraps(method)
    def managed(estimator: Any, *args: Any, **kwargs: Any) -> Any:
        if not estimator._has_callbacks():
            return method(estimator, *args, **kwargs)
        from sklearn.callback import with_callbacks

        return with_callbacks(method)(estimator, *args, **kwargs)

    return managed


# The same as the project's URL of that name, which package indices show.
SITE = "https://skwakesleep.readthedocs.io"


class DocumentationLinkMixin:
    """Link the diagram of an estimator to its page."""

    _doc_link_module = "skwakesleep"
    _doc_link_template = SITE + "/en/latest/api/generated/{estimator_module}.{estimator_name}.html"
