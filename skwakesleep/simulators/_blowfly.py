"""Population dynamics with a delay, after Nicholson's blowflies: a time series with an exact likelihood."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skwakesleep.models._bases import Model, NamedArrays
from skwakesleep.models._parameters import check_counts
from skwakesleep.models._protocol import LocalFactors
from skwakesleep.simulators import _population_steps as dynamics
from skwakesleep.simulators._population_steps import Steps, Windows

# Bounds of the noise scales: beyond them, a gamma variable is a constant, or underflows.
NOISE_BOUNDS = (0.01, 5.0)


class BlowflyDynamics(NamedArrays, Model, LocalFactors):
    """A population with delayed births, and gamma noise on births and on deaths.

    ``N[t+1] = R[t] + S[t]``, recruits ``R[t] = P N[t-delay] exp(-N[t-delay] / N0) e[t]`` and survivors
    ``S[t] = N[t] exp(-mortality * f[t])``, where ``e`` and ``f`` are gamma variables of mean one and of standard
    deviations ``recruitment_noise`` and ``survival_noise``. Parameters are the logarithms of these five: fecundity
    ``P``, capacity ``N0``, mortality (per step) and the two noises. The flies are Nicholson's [1]_, the model is
    Wood's [2]_.

    The number of recruits at ``t+1`` is not observed. Latents ``z`` are a tuple of the logarithms of the recruits and
    of the *losses* ``mortality * f``, ``(n, n_features - delay - 1)`` each. Observations are whole series; all
    densities are conditional on their first ``delay + 1`` values. The log-likelihood depends on the unit of
    populations: in thousands, it is larger than in single individuals by
    ``(n_features - delay - 1) * log(1000)``.

    Each step is a local factor, which `AmortisedWakeSleep` simulates from the observed history. Its exact likelihood is
    an integral over the recruits.

    Parameters
    ----------
    n_features : int, default=180
        Length of the series, more than ``delay + 1``.
    delay : int, default=7
        Steps from the laying of eggs until one step before the flies are counted.
    history : array-like of shape (delay + 1,), default=None
        First values of simulated series. None is a constant population of one, in the units of the data.
    n_nodes : int, default=100
        Nodes of the quadrature of each step.

    Attributes
    ----------
    n_params : int
        Number of parameters, 5.

    Raises
    ------
    ValueError
        When a number is not a positive int, the series is too short, or the history has another length.

    See Also
    --------
    skwakesleep.datasets.load_blowfly : Counts to fit it to.

    Notes
    -----
    The quadrature is a trapezoidal rule in log space, on a double-exponential scale of the share of recruits [3]_. On
    this scale the integrand falls steeply to both sides, whatever its singularities at the ends, and the error falls
    exponentially with the number of nodes. For each step, the nodes cover the range in which the integrand is not
    negligible.

    References
    ----------
    .. [1] A. J. Nicholson. "An outline of the dynamics of animal populations". Australian Journal of Zoology 2 (1954)
       9-65.
    .. [2] S. N. Wood. "Statistical inference for noisy nonlinear ecological dynamic systems". Nature 466 (2010)
       1102-1104.
    .. [3] H. Takahasi, M. Mori. "Double exponential formulas for numerical integration". Publications of the Research
       Institute for Mathematical Sciences 9 (1974) 721-741.

    Examples
    --------
    >>> import numpy as np
    >>> from skwakesleep.datasets import load_blowfly
    >>> from skwakesleep.simulators import BlowflyDynamics
    >>> X = load_blowfly()[np.newaxis] / 1000
    >>> model = BlowflyDynamics(n_features=180, delay=7)
    >>> theta = model.pack(
    ...     log_fecundity=np.log(6), log_capacity=np.log(0.7), log_mortality=np.log(0.3),
    ...     log_recruitment_noise=0.0, log_survival_noise=0.0,
    ... )
    >>> model.log_likelihood(theta, X).shape
    (1,)
    """

    def __init__(self, n_features: int = 180, delay: int = 7, history: Any = None, n_nodes: int = 100) -> None:
        check_counts(self, n_features=n_features, delay=delay, n_nodes=n_nodes)
        if n_features <= delay + 1:
            raise ValueError(f"n_features must be more than delay + 1 = {delay + 1}. Got {n_features!r}.")
        shape = (delay + 1,) if history is None else np.asarray(history, dtype=np.float64).shape
        if shape != (delay + 1,):
            raise ValueError(f"history must have delay + 1 = {delay + 1} values. Got shape {shape}.")
        self.n_features = n_features
        self.delay = delay
        self.history = history
        self.n_nodes = n_nodes

    @property
    def _shapes(self) -> dict[str, tuple[int, ...]]:
        names = ("fecundity", "capacity", "mortality", "recruitment_noise", "survival_noise")
        return {f"log_{name}": () for name in names}

    def initial_params(self, X: NDArray, rng: np.random.Generator) -> NDArray:
        """Return parameters around which populations oscillate, with much noise.

        Parameters
        ----------
        X : ndarray of shape (m, n_features)
            Populations: the capacity starts at a third of their mean.
        rng : numpy.random.Generator
            Changes each parameter by about a third.

        Returns
        -------
        theta : ndarray of shape (5,)
            Flat parameters.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.simulators import BlowflyDynamics
        >>> BlowflyDynamics(20, 2).initial_params(np.ones((1, 20)), np.random.default_rng(0)).shape
        (5,)
        """
        centre = np.log([3.0, X.mean() / 3, 0.2, 1.0, 1.0])
        return centre + 0.3 * rng.standard_normal(self.n_params)

    def project(self, theta: NDArray) -> NDArray:
        """Return the parameters with the noises between 0.01 and 5.

        Parameters
        ----------
        theta : ndarray of shape (5,)
            Any parameters.

        Returns
        -------
        theta : ndarray of shape (5,)
            Parameters within bounds.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.simulators import BlowflyDynamics
        >>> np.exp(BlowflyDynamics(20, 2).project(np.array([0.0, 0.0, 0.0, -9.0, 9.0]))).round(6)
        array([1.  , 1.  , 1.  , 0.01, 5.  ])
        """
        bounds = np.log(NOISE_BOUNDS)
        return self._clipped(theta, log_recruitment_noise=bounds, log_survival_noise=bounds)

    def sample(self, theta: NDArray, n: int, rng: np.random.Generator) -> tuple[Steps, NDArray]:
        """Return ``n`` independent series.

        Parameters
        ----------
        theta : ndarray of shape (5,)
            Flat parameters.
        n : int
            Number of series.
        rng : numpy.random.Generator
            The only source of random numbers.

        Returns
        -------
        z : tuple of two ndarray of shape (n, n_features - delay - 1)
            Logarithms of recruits and of losses.
        x : ndarray of shape (n, n_features)
            Populations.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.simulators import BlowflyDynamics
        >>> (recruits, losses), x = BlowflyDynamics(20, 2).sample(np.zeros(5), 3, np.random.default_rng(0))
        >>> recruits.shape, losses.shape, x.shape
        ((3, 17), (3, 17), (3, 20))
        """
        x = np.empty((n, self.n_features))
        x[:, : self.delay + 1] = 1.0 if self.history is None else self.history
        steps = []
        for t in range(self.delay, self.n_features - 1):
            step, x[:, t + 1] = dynamics.draw_step(theta, x[:, t], x[:, t - self.delay], rng)
            steps.append(step)
        recruits, losses = (np.stack(parts, axis=1) for parts in zip(*steps, strict=True))
        return (recruits, losses), x

    def grad_log_joint(self, theta: NDArray, z: Steps, x: NDArray, weights: NDArray) -> NDArray:
        """Return the weighted sum of scores, ``sum_n weights[n] * grad log p(z[n], x[n])``.

        Parameters
        ----------
        theta : ndarray of shape (5,)
            Flat parameters.
        z : tuple of two ndarray of shape (n, n_features - delay - 1)
            Logarithms of recruits and of losses.
        x : ndarray of shape (n, n_features)
            Populations.
        weights : ndarray of shape (n,)
            Real numbers, of either sign.

        Returns
        -------
        gradient : ndarray of shape (5,)
            In nats per unit of each parameter.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.simulators import BlowflyDynamics
        >>> model = BlowflyDynamics(20, 2)
        >>> z, x = model.sample(np.zeros(5), 3, np.random.default_rng(0))
        >>> model.grad_log_joint(np.zeros(5), z, x, np.ones(3)).shape
        (5,)
        """
        return dynamics.weighted_scores(theta, z, self._windows(x).delayed, weights[:, np.newaxis])

    def log_joint(self, theta: NDArray, z: Steps, x: NDArray) -> NDArray:
        """Return ``log p(z[n], x[n])`` as a density of the latents.

        The observations are a function of the latents and the history, so they have no density given these: the model
        cannot be importance weighted. The regression of scores is not affected.

        Parameters
        ----------
        theta : ndarray of shape (5,)
            Flat parameters.
        z : tuple of two ndarray of shape (n, n_features - delay - 1)
            Logarithms of recruits and of losses.
        x : ndarray of shape (n, n_features)
            Populations.

        Returns
        -------
        log_prob : ndarray of shape (n,)
            Log-density of the latents, in nats.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.simulators import BlowflyDynamics
        >>> model = BlowflyDynamics(20, 2)
        >>> z, x = model.sample(np.zeros(5), 3, np.random.default_rng(0))
        >>> model.log_joint(np.zeros(5), z, x).shape
        (3,)
        """
        return dynamics.log_densities(theta, z, self._windows(x).delayed).sum(axis=1)

    def log_likelihood(self, theta: NDArray, X: NDArray) -> NDArray:
        """Return ``log p(X[m])``, given the first ``delay + 1`` values of each series.

        Parameters
        ----------
        theta : ndarray of shape (5,)
            Flat parameters.
        X : ndarray of shape (m, n_features)
            Populations.

        Returns
        -------
        log_prob : ndarray of shape (m,)
            Log-likelihood of each series, in nats.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.simulators import BlowflyDynamics
        >>> BlowflyDynamics(20, 2).log_likelihood(np.zeros(5), np.ones((4, 20))).shape
        (4,)
        """
        log_total, _, _ = dynamics.summed_out(theta, self._windows(X), self.n_nodes)
        return log_total.sum(axis=1)

    def grad_log_likelihood(self, theta: NDArray, X: NDArray) -> NDArray:
        """Return the gradient of the mean over series of ``log p(X[m])``.

        Parameters
        ----------
        theta : ndarray of shape (5,)
            Flat parameters.
        X : ndarray of shape (m, n_features)
            Populations.

        Returns
        -------
        gradient : ndarray of shape (5,)
            In nats per series and unit of each parameter.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.simulators import BlowflyDynamics
        >>> BlowflyDynamics(20, 2).grad_log_likelihood(np.zeros(5), np.ones((4, 20))).shape
        (5,)
        """
        windows = self._windows(X)
        _, posterior, z = dynamics.summed_out(theta, windows, self.n_nodes)
        return dynamics.weighted_scores(theta, z, windows.delayed[..., np.newaxis], posterior / len(X))

    def latent_function(self, z: Steps) -> NDArray:
        """Return the share of the population that survives each step.

        Parameters
        ----------
        z : tuple of two ndarray of shape (n, n_features - delay - 1)
            Logarithms of recruits and of losses.

        Returns
        -------
        features : ndarray of shape (n, n_features - delay - 1)
            Shares between 0 and 1.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.simulators import BlowflyDynamics
        >>> BlowflyDynamics(5, 2).latent_function((np.zeros((1, 2)), np.zeros((1, 2)))).round(4)
        array([[0.3679, 0.3679]])
        """
        _, losses = z
        return np.exp(-np.exp(losses)).reshape(len(losses), -1)

    # ------------------------------------------------------------------ local factors

    def local_inputs(self, X: NDArray) -> NDArray:
        # Logarithms of the population after a step, before it, and at the time of the births.
        return np.log(np.stack([part.ravel() for part in self._windows(X)], axis=1))

    def sample_local(self, theta: NDArray, rows: NDArray, n: int, rng: np.random.Generator) -> tuple[Steps, NDArray]:
        history = rows[np.arange(n) * len(rows) // n, 1:]
        current, delayed = np.exp(history.T)
        z, population = dynamics.draw_step(theta, current, delayed, rng)
        return z, np.column_stack([np.log(population), history])

    def local_features(self, theta: NDArray, rows: NDArray) -> NDArray:
        """Return the inputs of the regression: populations relative to the one before the step, and to its births.

        The posterior of recruits and losses, relative to their expectations, depends on these two alone. The inverse
        hyperbolic sine shrinks extreme values, which are rare in dreams.

        Parameters
        ----------
        theta : ndarray of shape (5,)
            Flat parameters.
        rows : ndarray of shape (k, 3)
            Local rows.

        Returns
        -------
        features : ndarray of shape (k, 2)
            Inputs of the regression.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.simulators import BlowflyDynamics
        >>> model = BlowflyDynamics(20, 2)
        >>> model.local_features(np.zeros(5), model.local_inputs(np.ones((1, 20)))).shape
        (17, 2)
        """
        population, current, delayed = rows.T
        (log_births, _), _ = dynamics.gammas(theta, np.exp(delayed))
        return np.arcsinh(2 * np.column_stack([population - current, population - log_births]))

    def local_grad_log_joint(self, theta: NDArray, z: Steps, rows: NDArray, weights: NDArray) -> NDArray:
        return dynamics.weighted_scores(theta, z, np.exp(rows[:, 2]), weights)

    def _windows(self, x: NDArray) -> Windows:
        """Return the populations around all steps of the series, ``(n, n_steps)`` each."""
        return Windows(x[:, self.delay + 1 :], x[:, self.delay : -1], x[:, : -self.delay - 1])
