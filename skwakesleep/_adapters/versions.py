"""Pickles that remember which version of the package wrote them."""

import warnings

from skwakesleep._version import __version__


class VersionedPickleMixin:
    """Warn when an estimator is loaded by another version than saved it, as scikit-learn's own estimators do."""

    def __getstate__(self):
        return {**super().__getstate__(), "_skwakesleep_version": __version__}

    def __setstate__(self, state):
        state = dict(state)
        saved = state.pop("_skwakesleep_version", "unknown")
        if saved != __version__:
            warnings.warn(
                f"{type(self).__name__} was saved by skwakesleep {saved} and is loaded by {__version__}: it may fail "
                "or give other results. Fit it again, or load it with the version that saved it.",
                UserWarning,
                stacklevel=2,
            )
        super().__setstate__(state)
