"""Saved estimators that remember which version of the package wrote them, and hold nothing but plain types."""

import warnings

from skwakesleep._adapters.plain import from_plain, to_plain
from skwakesleep._version import __version__


class VersionedPickleMixin:
    """Save an estimator as plain types, and warn when another version loads it, as scikit-learn's own estimators do."""

    def __getstate__(self):
        return {**to_plain(super().__getstate__()), "_skwakesleep_version": __version__}

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
        super().__setstate__(from_plain(state))

    def __copy__(self):
        """Return a shallow copy, which shares what was learned: nothing is taken apart for it."""
        other = object.__new__(type(self))
        vars(other).update(vars(self))
        return other
