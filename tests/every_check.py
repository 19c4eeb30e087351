"""scikit-learn's common checks as test parameters, in any supported version."""

from inspect import signature

import pytest
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks


def every_check(configurations):
    """Parametrize a test with each configuration and each of its checks."""
    strict = {"xfail_strict": True} if "xfail_strict" in signature(parametrize_with_checks).parameters else {}
    mark = parametrize_with_checks(configurations, **strict)
    names, checks = mark.args
    return pytest.mark.parametrize(names, list(checks), **mark.kwargs)  # before version 1.8, they were a generator


def feed(monkeypatch, convert):
    """Have the checks train on `convert(X)` where they would train on `X`."""
    adapt = estimator_checks._enforce_estimator_tags_X
    monkeypatch.setattr(
        estimator_checks, "_enforce_estimator_tags_X", lambda *args, **kwargs: convert(adapt(*args, **kwargs))
    )
