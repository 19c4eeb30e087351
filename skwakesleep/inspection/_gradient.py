"""Whether a fit is done, and whether its regression is good enough."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch

from skwakesleep._adapters import amortised
from skwakesleep._adapters.parameters import entropy
from skwakesleep._engine.amortised.diagnosis import Diagnosis, diagnose, is_notable
from skwakesleep._engine.amortised.problem import Problem
from skwakesleep.inspection._fits import checked_fit, parameter_labels


def check_convergence(estimator, X, *, random_state=None) -> Bunch:
    """Estimate how far a fit is from the maximum of the likelihood. No likelihood is needed.

    The gradient of the log-likelihood is estimated with several sets of dreams, as the mean regressed score of the data
    minus that of fresh dreams, which removes the bias of the regression. It is compared with the Fisher information.

    Parameters
    ----------
    estimator : AmortisedWakeSleep
        Fitted estimator.
    X : array-like of shape (n_samples, n_features)
        The training data. With other rows of the same kind, a gain of about ``n_params / (2 * n_samples)`` is usual.
    random_state : int, RandomState instance or None, default=None
        Seeds the dreams; None draws anew at each call.

    Returns
    -------
    result : Bunch
        With the fields

        - gain, float: what a step of Fisher scoring would gain, in nats per row (per local factor, where the model has
          these). It is an estimate of how much the fit is below maximum likelihood; by noise, it may be negative.
        - gain_error, float: its Monte-Carlo standard error.
        - converged, bool: False if the gain is above 0.05 nats, and above ``n_params / n_samples``, and above two
          standard errors.
        - table, dict of arrays of shape (n_params,), for `pandas.DataFrame`: "parameter", its name; "shift", the step
          in units of the standard error that the estimate has with these rows; "shift_error", its Monte-Carlo standard
          error.

    Raises
    ------
    NotFittedError, ValueError
        If the estimator has not been fitted, if `X` is not valid, or if simulations fail.

    See Also
    --------
    skwakesleep.plotting.ConvergenceDisplay : The shifts as a figure.

    Notes
    -----
    The gain has no systematic error if the regression scales all scores alike. Where its predictions are noisy, as for
    many columns with little noise, the gain is too small. It is local: a fit in a local optimum has converged. Where a
    parameter is at a bound, the gradient that points across the bound is left out. The curvature of a log prior is not
    counted.

    Examples
    --------
    >>> from skwakesleep import AmortisedWakeSleep, datasets
    >>> from skwakesleep.inspection import check_convergence
    >>> from skwakesleep.models import LatentFactors
    >>> X, _ = datasets.make_ring(200, random_state=0)
    >>> short = AmortisedWakeSleep(LatentFactors(6, 2), n_sleep=100, max_iter=5, random_state=0).fit(X)
    >>> check_convergence(short, X, random_state=0).converged
    False
    """
    problem, theta, labels, diagnosis = _diagnosed(estimator, X, random_state)
    n_rows = len(problem)
    gain, error = diagnosis.gain(diagnosis.gradients)
    shifts, shift_errors = diagnosis.shifts(diagnosis.gradients, n_rows)
    return Bunch(
        gain=gain,
        gain_error=error,
        converged=not is_notable(gain, error, len(theta), n_rows),
        table={"parameter": labels, "shift": shifts, "shift_error": shift_errors},
    )


def check_regression(estimator, X, *, random_state=None) -> Bunch:
    """Estimate the bias of the regressed scores, their accuracy, and how well dreams cover the data.

    Scores have mean zero over observations of the model itself. Their regressed mean over fresh dreams is the bias.

    Parameters
    ----------
    estimator : AmortisedWakeSleep
        Fitted estimator.
    X : array-like of shape (n_samples, n_features)
        The training data.
    random_state : int, RandomState instance or None, default=None
        Seeds the dreams; None draws anew at each call.

    Returns
    -------
    result : Bunch
        With the fields

        - bias, float: what a fit loses in likelihood if it follows the regressed scores until their mean is zero, in
          nats per row; by noise, it may be negative.
        - bias_error, float: its Monte-Carlo standard error.
        - biased, bool: whether the bias is above 0.05 nats, ``n_params / n_samples`` and two standard errors.
        - loo_error, float: leave-one-out error of the regression, relative to predicting the mean, where 1 means
          that nothing is predicted; NaN without a regression.
        - coverage, float: share of the data whose nearest dream is as near as that of 95 % of the dreams.
        - table, dict of arrays of shape (n_params,), for `pandas.DataFrame`: "parameter", its name; "bias", in units of
          the standard error that the estimate has with these rows; "bias_error", its Monte-Carlo standard error.

    Raises
    ------
    NotFittedError, ValueError
        As for `check_convergence`.

    See Also
    --------
    skwakesleep.plotting.RegressionDisplay : The biases as a figure.

    Examples
    --------
    >>> from skwakesleep import AmortisedWakeSleep, datasets
    >>> from skwakesleep.inspection import check_regression
    >>> from skwakesleep.models import LatentFactors
    >>> X, _ = datasets.make_ring(200, random_state=0)
    >>> fitted = AmortisedWakeSleep(LatentFactors(6, 2), n_sleep=100, max_iter=50, random_state=0).fit(X)
    >>> check_regression(fitted, X, random_state=0).loo_error < 0.5
    True
    """
    problem, theta, labels, diagnosis = _diagnosed(estimator, X, random_state)
    n_rows = len(problem)
    bias, error = diagnosis.gain(diagnosis.at_dreams)
    biases, bias_errors = diagnosis.shifts(diagnosis.at_dreams, n_rows)
    return Bunch(
        bias=bias,
        bias_error=error,
        biased=is_notable(bias, error, len(theta), n_rows),
        loo_error=diagnosis.error,
        coverage=float(diagnosis.coverages.mean()),
        table={"parameter": labels, "bias": biases, "bias_error": bias_errors},
    )


def _diagnosed(estimator: Any, X: Any, random_state: Any) -> tuple[Problem, NDArray, NDArray, Diagnosis]:
    """Return the problem, the parameters and their labels, and their diagnosis."""
    fit, X = checked_fit(estimator, X)
    form = fit.state.regression.form
    with estimator._limited_threads():
        problem = amortised.problem(estimator, fit.model, X, fit.state.units, form)
        diagnosis = diagnose(problem, fit.theta, form, np.random.default_rng(entropy(random_state)))
    return problem, fit.theta, parameter_labels(fit), diagnosis
