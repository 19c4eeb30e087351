"""scikit-learn's common checks as parameters of tests, for each supported version of scikit-learn."""

from inspect import signature

import pytest
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks


def every_check(estimators):
    """Parametrize a test with each estimator and each of its checks."""
    strict = {"xfail_strict": True} if "xfail_strict" in signature(parametrize_with_checks).parameters else {}
    mark = parametrize_with_checks(estimators, **strict)
    names, checks = mark.args
    return pytest.mark.parametrize(names, list(checks), **mark.kwargs)  # a generator before scikit-learn 1.8


def convert_check_data(monkeypatch, convert):
    """Let the checks train on ``convert(X)`` instead of ``X``."""
    adapt = estimator_checks._enforce_estimator_tags_X
    monkeypatch.setattr(
        estimator_checks, "_enforce_estimator_tags_X", lambda *args, **kwargs: convert(adapt(*args, **kwargs))
    )
