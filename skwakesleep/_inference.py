"""Standard errors and confidence intervals of the parameters of a fitted model."""

import warnings
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from skwakesleep._adapters import amortised, bootstrap
from skwakesleep._adapters.parameters import entropy
from skwakesleep._adapters.sklearn_compat import Interval, StrOptions, validate_parameter_constraints
from skwakesleep._engine.amortised.information import errors, flat_parameters, named_parameters

ARGUMENTS = {
    "kind": [StrOptions({"information", "sandwich", "bootstrap"})],
    "n_bootstrap": [Interval(Integral, 2, None, closed="left")],
    "n_jobs": [Integral, None],
}
# Entries of an array that a warning lists.
N_LISTED = 4


@dataclass(frozen=True, eq=False)
class Inference:
    """Estimates with their errors, as `AmortisedWakeSleep.inference` returns them. The parameters are attributes.

    Parameters
    ----------
    kind : {"information", "sandwich", "bootstrap"}
        Where the errors are from.

    params : dict of str to ndarray
        The estimates by name, in the units of ``params_``.

    covariance : ndarray of shape (n_entries, n_entries)
        Covariance of the entries of all parameters, in the order of `names`. NaN for entries that are fixed, or that
        the data do not determine.

    monte_carlo : ndarray of shape (n_entries,)
        Standard error of each standard error that is due to the simulation, from the jackknife over the dreams, or
        from the number of bootstrap tables.

    replicates : ndarray of shape (n_bootstrap, n_entries) or None
        The parameters of the fits to simulated tables, of the bootstrap.

    See Also
    --------
    AmortisedWakeSleep.inference : Makes it.

    Examples
    --------
    >>> import numpy as np
    >>> from skwakesleep import Inference
    >>> estimates = {"mean": np.array([1.0, -2.0])}
    >>> result = Inference("information", estimates, np.diag([0.04, 0.01]), np.array([0.002, 0.001]))
    >>> result.summary(level=0.9)
             estimate  error  Monte-Carlo error  90 % interval
    mean[0]         1    0.2              0.002          0.671   1.33
    mean[1]        -2    0.1              0.001          -2.16  -1.84
    """

    kind: str
    params: dict[str, NDArray]
    covariance: NDArray
    monte_carlo: NDArray
    replicates: NDArray | None = None

    @property
    def names(self) -> list[str]:
        """Names of the entries of all parameters, such as ``loadings[0, 1]``."""
        return entry_names(self.params)

    @property
    def standard_errors(self) -> dict[str, NDArray]:
        """Standard errors by name, in the shapes of the parameters."""
        return self._shaped(self._errors)

    @property
    def monte_carlo_errors(self) -> dict[str, NDArray]:
        """`monte_carlo` by name, in the shapes of the parameters."""
        return self._shaped(self.monte_carlo)

    def confint(self, level=0.95):
        """Compute confidence intervals.

        They are normal: a multiple of the standard errors around the estimates. Those of the bootstrap are around the
        estimates minus their bias, which is the mean of the replicates minus the estimates. Limits may be outside the
        bounds of a parameter.

        Parameters
        ----------
        level : float, default=0.95
            Probability that an interval covers the parameter.

        Returns
        -------
        intervals : dict of str to ndarray of shape (..., 2)
            Lower and upper limits, along the last axis, by name.

        Raises
        ------
        ValueError
            If `level` is not between 0 and 1.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep import Inference
        >>> estimates = {"mean": np.array(1.0)}
        >>> Inference("information", estimates, np.array([[0.04]]), np.zeros(1)).confint()["mean"].round(2)
        array([0.61, 1.39])
        """
        return self._shaped(self._limits(level))

    def _limits(self, level):
        """Return lower and upper limits of the entries, ``(n_entries, 2)``."""
        validate_parameter_constraints({"level": [Interval(Real, 0, 1, closed="neither")]}, {"level": level}, "confint")
        centers = flat_parameters(self.params)
        if self.replicates is not None:
            centers = 2 * centers - self.replicates.mean(axis=0)
        return centers[:, np.newaxis] + np.outer(self._errors, ndtri([(1 - level) / 2, (1 + level) / 2]))

    def summary(self, level=0.95):
        """Print estimates, standard errors and confidence intervals.

        Parameters
        ----------
        level : float, default=0.95
            Of the intervals, as in `confint`.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep import Inference
        >>> Inference("information", {"mean": np.array(1.0)}, np.array([[0.04]]), np.zeros(1)).summary()
              estimate  error  Monte-Carlo error  95 % interval
        mean         1    0.2                  0          0.608  1.39
        """
        headers = ["", "estimate", "error", "Monte-Carlo error", f"{100 * level:g} % interval", ""]
        values = [flat_parameters(self.params), self._errors, self.monte_carlo, *self._limits(level).T]
        columns = [self.names, *([f"{number:.3g}" for number in column] for column in values)]
        widths = [max(map(len, [header, *column])) for header, column in zip(headers, columns, strict=True)]
        for name, *texts in [headers, *zip(*columns, strict=True)]:
            aligned = [text.rjust(width) for text, width in zip(texts, widths[1:], strict=True)]
            print("  ".join([name.ljust(widths[0]), *aligned]).rstrip())

    @property
    def _errors(self):
        return np.sqrt(np.diagonal(self.covariance))

    def _shaped(self, entries):
        """Return arrays by name, given values ``(n_entries, ...)``."""
        sizes = [np.size(value) for value in self.params.values()]
        parts = np.split(entries, np.cumsum(sizes)[:-1])
        return {
            name: part.reshape((*np.shape(value), *entries.shape[1:]))
            for (name, value), part in zip(self.params.items(), parts, strict=True)
        }


def entry_names(params):
    """Return the names of the entries of all parameters."""
    return [
        f"{name}[{', '.join(map(str, index))}]" if index else name
        for name, value in params.items()
        for index in np.ndindex(np.shape(value))
    ]


class InferenceMixin:
    """A fitted model whose parameters have errors."""

    def inference(self, X, kind="information", *, n_bootstrap=100, n_jobs=None, random_state=None):
        """Estimate standard errors and confidence intervals of the parameters.

        The errors are in the names and units of ``params_``, by the delta method. They are not computed in `fit`,
        because they need many more dreams than a step of it: for slow simulations that is a large part of a fit.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The training data.
        kind : {"information", "sandwich", "bootstrap"}, default="information"
            "information" is the inverse of the Fisher information that the model has about its parameters in as many
            rows, and with a prior of the information and the curvature of its logarithm. "sandwich" replaces the
            covariance of the scores by that in the rows of `X`, which is right even if they vary more than the model
            says [1]_. How the mean score depends on the parameters is taken from the model in both. "bootstrap" fits
            the model to tables that it simulates itself, starting at the estimates, with a quarter of ``max_iter``
            epochs; it takes `n_bootstrap` times a quarter of a fit, and includes the errors of the fit itself.
        n_bootstrap : int, default=100
            Number of simulated tables.
        n_jobs : int or None, default=None
            Number of processes for the bootstrap, as in joblib. The result does not depend on it.
        random_state : int, RandomState instance or None, default=None
            Seeds the dreams and the tables; None draws anew at each call.

        Returns
        -------
        result : Inference
            Estimates with covariance, standard errors and intervals.

        Raises
        ------
        NotFittedError, ValueError
            As for `estimate_gradient`; also if fewer than two fits to simulated tables succeed.

        Warns
        -----
        UserWarning
            If some parameters are not determined: they can change together, without a change of the likelihood that
            exceeds its Monte-Carlo error, as loadings by a rotation of factors. Their errors are NaN. Also if fits to
            simulated tables failed.

        Notes
        -----
        The scores of rows, ``grad log p(x)``, are those of the likelihood, by central differences, if the model has
        one. Otherwise they are learned by regression on dreams, as in training, and calibrated: the scores of pairs of
        latents and observations, of which they are the conditional expectation, are regressed on them linearly. Both
        this and the mean of the products of scores are over fresh dreams, 20 times ``n_sleep``. What the learned scores
        do not explain counts as lost information, so inaccurate ones make standard errors larger, not smaller.

        The fit is taken for the maximum of the likelihood. If it stopped short, the intervals are around the wrong
        value. Parameters with labels that can be exchanged are determined near the estimate, and the errors are for the
        labels as they are.

        References
        ----------
        .. [1] P. J. Huber. "The behavior of maximum likelihood estimates under nonstandard conditions". Fifth Berkeley
           Symposium, 1967. H. White. "Maximum likelihood estimation of misspecified models". Econometrica, 1982.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep import AmortisedWakeSleep
        >>> from skwakesleep.models import LatentFactors
        >>> X = np.random.default_rng(0).normal(size=(400, 3)) + np.random.default_rng(1).normal(size=(400, 1))
        >>> fitted = AmortisedWakeSleep(LatentFactors(3, 1), n_sleep=200, max_iter=100, random_state=0).fit(X)
        >>> result = fitted.inference(X, random_state=0)
        >>> result.standard_errors["intercept"].round(2)
        array([0.07, 0.07, 0.07])
        """
        arguments = {"kind": kind, "n_bootstrap": n_bootstrap, "n_jobs": n_jobs}
        validate_parameter_constraints(ARGUMENTS, arguments, "inference")
        fit, X = self._checked(X)
        seeds = entropy(random_state)
        params = named_parameters(fit.model, fit.theta_in_units)
        with self._limited_threads():
            problem = amortised.problem(self, fit.model, X, fit.state.units, self.gradient)
            found = errors(problem, fit, np.random.default_rng(seeds), sandwich=kind == "sandwich")
        if found.undetermined.any():
            warnings.warn(_flat_message(params, found.undetermined), stacklevel=2)
        if kind != "bootstrap":
            return Inference(kind, params, found.covariance, found.monte_carlo)
        replicates = bootstrap.replicates(self, fit, X, n_bootstrap, n_jobs, seeds)
        covariance = np.where(np.isnan(found.covariance), np.nan, np.cov(replicates.T))
        # The relative error of the standard deviation of n normal variables.
        monte_carlo = np.sqrt(np.diagonal(covariance) / (2 * (len(replicates) - 1)))
        return Inference(kind, params, covariance, monte_carlo, replicates)


def _flat_message(params, undetermined):
    """Return a warning that names the entries that are not determined."""
    names = np.array(entry_names(params))[undetermined].tolist()
    more = f" and {len(names) - N_LISTED} more" if len(names) > N_LISTED else ""
    return (
        f"{', '.join(names[:N_LISTED])}{more} can change together without a change of the likelihood that exceeds its "
        "Monte-Carlo error. Their standard errors are NaN. Fix some of them, give them a prior, or raise n_sleep."
    )
