"""Population dynamics with a delay, after Nicholson's blowflies: a time series with an exact likelihood."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, gammaln, logsumexp

from skwakesleep.models._bases import NamedParameterModel, check_counts
from skwakesleep.models._documentation import documented

Steps = tuple[NDArray, NDArray]

# Noise scales are kept in here: beyond, a gamma variable is a constant, or underflows.
NOISE_BOUNDS = (0.01, 5.0)
# Below any population that matters, and above what a float cannot take the logarithm of.
SMALLEST_POPULATION = 1e-300
# What is so many nats below the peak of an integrand adds nothing in float64.
NEGLIGIBLE = 37.0
# On the scale of the nodes: to either end of what a float can tell.
REACH = 7.5


@documented
class BlowflyDynamics(NamedParameterModel):
    """A population that is replaced by the eggs of a while ago, with gamma noise on births and on deaths.

    ``N[t+1] = R[t] + S[t]``, recruits ``R[t] = P N[t-delay] exp(-N[t-delay] / N0) e[t]`` and survivors
    ``S[t] = N[t] exp(-mortality * f[t])``, where ``e`` and ``f`` are gamma variables of mean one and of standard
    deviations ``recruitment_noise`` and ``survival_noise``. Parameters are the logarithms of these five: fecundity
    ``P``, capacity ``N0``, mortality (per step) and the two noises. The flies are Nicholson's [1]_, the model is
    Wood's [2]_.

    Which of those alive at ``t+1`` are recruits is not observed. Latents ``z`` are a tuple of the logarithms of the
    recruits and of the *losses* ``mortality * f``, ``(n, n_features - delay - 1)`` each. Observations are whole series;
    all densities are conditional on their first ``delay + 1`` values. The log-likelihood depends on the unit that
    populations are counted in: in units of a thousand, it is larger than that of single individuals by
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
        What simulated series start with; None is a population of one, in the units of the data, throughout.
    n_nodes : int, default=100
        Nodes of the quadrature of each step.

    Attributes
    ----------
    n_params : int
        Number of parameters, 5.

    Raises
    ------
    ValueError
        When a number of anything is not a positive int, the series too short or the history of another length.

    See Also
    --------
    skwakesleep.datasets.load_blowfly : Counts to fit it to.

    Notes
    -----
    The quadrature is a trapezoidal rule in log space, on a double-exponential scale of the part that recruits have in
    what they may have a part in [3]_: whatever singularities at the ends, the integrand falls steeply to both sides,
    and the error exponentially with the number of nodes. These are spread over where the integrand matters, found anew
    for each step.

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
    >>> from skwakesleep.models import BlowflyDynamics
    >>> X = load_blowfly()[np.newaxis] / 1000
    >>> model = BlowflyDynamics(n_features=180, delay=7)
    >>> theta = model.pack(
    ...     log_fecundity=np.log(6), log_capacity=np.log(0.7), log_mortality=np.log(0.3),
    ...     log_recruitment_noise=0.0, log_survival_noise=0.0,
    ... )
    >>> model.log_likelihood(theta, X).shape
    (1,)
    """

    def __init__(
        self,
        n_features: int = 180,
        delay: int = 7,
        history: Sequence[float] | NDArray | None = None,
        n_nodes: int = 100,
    ) -> None:
        check_counts(n_features=n_features, delay=delay, n_nodes=n_nodes)
        if n_features <= delay + 1:
            raise ValueError(f"n_features must be more than delay + 1 = {delay + 1}. Got {n_features!r}.")
        self.delay = delay
        self.history = np.broadcast_to(1.0, delay + 1) if history is None else np.array(history, dtype=np.float64)
        if self.history.shape != (delay + 1,):
            raise ValueError(f"history must have delay + 1 = {delay + 1} values. Got shape {self.history.shape}.")
        self.n_nodes = n_nodes
        names = ("fecundity", "capacity", "mortality", "recruitment_noise", "survival_noise")
        super().__init__(n_features, {f"log_{name}": () for name in names})

    def initial_params(self, X: NDArray, rng: np.random.Generator) -> NDArray:
        """Return parameters around which such populations oscillate, with much noise, each within a third or so.

        Parameters
        ----------
        X : ndarray of shape (m, n_features)
            Populations: the capacity starts at a third of their mean.
        rng : numpy.random.Generator
            Spreads the starts.

        Returns
        -------
        theta : ndarray of shape (5,)
            Flat parameters.
        """
        centre = np.log([3.0, X.mean() / 3, 0.2, 1.0, 1.0])
        return centre + 0.3 * rng.standard_normal(self.n_params)

    def project(self, theta: NDArray) -> NDArray:
        """Return the parameters with the noises between 0.01 and 5."""
        theta = theta.copy()
        parameters = self.unpack(theta)
        for name in ("log_recruitment_noise", "log_survival_noise"):
            np.clip(parameters[name], *np.log(NOISE_BOUNDS), out=parameters[name])
        return theta

    def sample(self, theta: NDArray, n: int, rng: np.random.Generator) -> tuple[Steps, NDArray]:
        """Return ``n`` series: logarithms of recruits and losses ``(n, n_features - delay - 1)``, and populations."""
        x = np.empty((n, self.n_features))
        x[:, : self.delay + 1] = self.history
        steps = []
        for t in range(self.delay, self.n_features - 1):
            step, x[:, t + 1] = self._step(theta, x[:, t], x[:, t - self.delay], rng)
            steps.append(step)
        recruits, losses = (np.stack(parts, axis=1) for parts in zip(*steps, strict=True))
        return (recruits, losses), x

    def grad_log_joint(self, theta: NDArray, z: Steps, x: NDArray, weights: NDArray) -> NDArray:
        """Return ``sum_n weights[n] * grad log p(z[n], x[n])`` of shape ``(5,)``."""
        _, _, delayed = self._windows(x)
        return self._weighted_scores(theta, z, delayed, weights[:, np.newaxis])

    def log_joint(self, theta: NDArray, z: Steps, x: NDArray) -> NDArray:
        """Return ``log p(z[n], x[n])`` of shape ``(n,)``, in nats, as a density of the latents.

        Given these and the history there is nothing left to the observations, which makes all the difference to
        importance weighting and none to the regression of scores.
        """
        _, _, delayed = self._windows(x)
        return self._log_densities(theta, z, delayed).sum(axis=1)

    def log_likelihood(self, theta: NDArray, X: NDArray) -> NDArray:
        """Return ``log p(X[m])`` of shape ``(m,)``, in nats, given the first ``delay + 1`` values of each series."""
        log_total, _, _ = self._summed_out(theta, X)
        return log_total.sum(axis=1)

    def grad_log_likelihood(self, theta: NDArray, X: NDArray) -> NDArray:
        """Return the gradient of the mean over rows of ``log p(X[m])`` in nats, of shape ``(5,)``."""
        _, posterior, z = self._summed_out(theta, X)
        _, _, delayed = self._windows(X)
        return self._weighted_scores(theta, z, delayed[..., np.newaxis], posterior / len(X))

    def latent_function(self, z: Steps) -> NDArray:
        """Return the part of the population that survives each step, ``(n, n_features - delay - 1)``.

        The rest of the next population are recruits.
        """
        _, losses = z
        return np.exp(-np.exp(losses)).reshape(len(losses), -1)

    # ------------------------------------------------------------------ local factors

    def local_inputs(self, X: NDArray) -> NDArray:
        """Return a row for each step of each series: logarithms of the population, of that before, of that delayed."""
        return np.log(np.stack([part.ravel() for part in self._windows(X)], axis=1))

    def sample_local(self, theta: NDArray, rows: NDArray, n: int, rng: np.random.Generator) -> tuple[Steps, NDArray]:
        """Simulate one step from the history in each of `rows`; return recruits and losses, and the rows that result.

        There are ``n`` rows in all, spread evenly over those given.
        """
        history = rows[np.arange(n) * len(rows) // n, 1:]
        current, delayed = np.exp(history.T)
        z, population = self._step(theta, current, delayed, rng)
        return z, np.column_stack([np.log(population), history])

    def local_features(self, theta: NDArray, rows: NDArray) -> NDArray:
        """Return what the latents of a step depend on: its population relative to the one before, and to births.

        The posterior of recruits and losses, relative to what is expected of them, depends on nothing else: functions
        of the recruits themselves cannot be told from these features. Far-out populations are drawn in, to where there
        are dreams to learn from.
        """
        population, current, delayed = rows.T
        (log_births, _), _ = self._gammas(theta, np.exp(delayed))
        return np.arcsinh(2 * np.column_stack([population - current, population - log_births]))

    def local_grad_log_joint(self, theta: NDArray, z: Steps, rows: NDArray, weights: NDArray) -> NDArray:
        """Return the weighted sum of the scores of the steps, of shape ``(5,)``."""
        return self._weighted_scores(theta, z, np.exp(rows[:, 2]), weights)

    # ------------------------------------------------------------------ one step

    def _windows(self, x: NDArray) -> tuple[NDArray, NDArray, NDArray]:
        """Return the populations after each step, before it, and those whose eggs it hatches, ``(n, n_steps)`` each."""
        return x[:, self.delay + 1 :], x[:, self.delay : -1], x[:, : -self.delay - 1]

    def _step(
        self, theta: NDArray, current: NDArray, delayed: NDArray, rng: np.random.Generator
    ) -> tuple[Steps, NDArray]:
        """Draw the logarithms of recruits and losses, and the population that results."""
        recruits, losses = (
            log_mean + np.log(np.maximum(rng.standard_gamma(shape, len(current)) / shape, SMALLEST_POPULATION))
            for log_mean, shape in self._gammas(theta, delayed)
        )
        population = np.exp(recruits) + current * np.exp(-np.exp(losses))
        return (recruits, losses), np.maximum(population, SMALLEST_POPULATION)

    def _gammas(self, theta: NDArray, delayed: NDArray) -> tuple[tuple[NDArray, NDArray], tuple[NDArray, NDArray]]:
        """Return the log mean and the shape of the recruits and of the losses."""
        log_fecundity, log_capacity, log_mortality, *log_noises = theta
        log_births = log_fecundity + np.log(delayed) - delayed * np.exp(-log_capacity)
        shape_births, shape_deaths = np.exp(-2 * np.array(log_noises))
        return (log_births, shape_births), (log_mortality, shape_deaths)

    def _log_densities(self, theta: NDArray, z: Steps, delayed: NDArray) -> NDArray:
        """Return the log-density of the latents of each step: logarithms of two gamma variables."""
        total = np.zeros(1)
        for values, (log_mean, shape) in zip(z, self._gammas(theta, delayed), strict=True):
            relative = values - log_mean
            total = total + shape * (np.log(shape) + relative - np.exp(relative)) - gammaln(shape)
        return total

    def _weighted_scores(self, theta: NDArray, z: Steps, delayed: NDArray, weights: NDArray) -> NDArray:
        """Return the sum over all steps of their scores times their weights."""
        gradient = np.empty(self.n_params)
        for place, values, (log_mean, shape) in zip((0, 1), z, self._gammas(theta, delayed), strict=True):
            relative = values - log_mean
            by_log_mean = weights * shape * np.expm1(relative)
            by_log_shape = weights * shape * (np.log(shape) - digamma(shape) + relative - np.expm1(relative))
            gradient[2 * place] = by_log_mean.sum()
            gradient[3 + place] = -2 * by_log_shape.sum()
            if place == 0:
                gradient[1] = np.sum(by_log_mean * delayed) * np.exp(-theta[1])
        return gradient

    # ------------------------------------------------------------------ quadrature

    def _summed_out(self, theta: NDArray, X: NDArray) -> tuple[NDArray, NDArray, Steps]:
        """Return the log-likelihood of each step, and the posterior weights ``(m, n_steps, n_nodes)`` of latents."""
        after, before, delayed = (part[..., np.newaxis] for part in self._windows(X))
        nodes, step = self._nodes(theta, after, before, delayed)
        log_integrand, z = self._integrand(theta, nodes, after, before, delayed)
        log_total = logsumexp(log_integrand, axis=-1, keepdims=True)
        return (log_total + np.log(step))[..., 0], np.exp(log_integrand - log_total), z

    def _integrand(
        self, theta: NDArray, nodes: NDArray, after: NDArray, before: NDArray, delayed: NDArray
    ) -> tuple[NDArray, Steps]:
        """Return the log of the integrand, and the latents at the nodes.

        Who is undecided, ``min(after, before)``, may be recruit or survivor. If a part ``s`` are recruits, the density
        of the population is an integral over ``logit(s) = sinh(node)``: of the density of the recruits, times that of
        the losses, times ``s`` and ``cosh(node)``.
        """
        logits = np.sinh(nodes)
        undecided = np.minimum(after, before)
        log_part = -np.logaddexp(0, -logits)
        recruits = np.logaddexp(_log(after - undecided), np.log(undecided) + log_part)
        losses = np.logaddexp(_log(np.log(before / undecided)), _log_softplus(logits))
        z = recruits, losses
        # Densities of the logarithms, made into densities of recruits and losses by dividing by these.
        return self._log_densities(theta, z, delayed) - recruits - losses + log_part + np.log(np.cosh(nodes)), z

    def _nodes(self, theta: NDArray, *steps: NDArray) -> tuple[NDArray, NDArray]:
        """Return nodes ``(..., n_nodes)`` over where the integrand matters, and their distance ``(..., 1)``.

        Thrice, since a narrow peak is found by narrowing: from a coarse look at all scales to the nodes themselves.
        """
        reach = np.linspace(-REACH, REACH, self.n_nodes)
        nodes = np.broadcast_to(reach, np.broadcast_shapes(steps[0].shape, reach.shape))
        for _ in range(3):
            log_integrand, _ = self._integrand(theta, nodes, *steps)
            matters = log_integrand > log_integrand.max(axis=-1, keepdims=True) - NEGLIGIBLE
            first = np.maximum(matters.argmax(axis=-1) - 1, 0)
            last = np.minimum(self.n_nodes - matters[..., ::-1].argmax(axis=-1), self.n_nodes - 1)
            low, high = (np.take_along_axis(nodes, end[..., np.newaxis], axis=-1) for end in (first, last))
            nodes = low + (high - low) * np.linspace(0, 1, self.n_nodes)
        return nodes, (high - low) / (self.n_nodes - 1)


def _log(values: NDArray) -> NDArray:
    """Return the logarithm; minus infinity at zero, without a warning."""
    return np.log(values, out=np.full_like(values, -np.inf), where=values > 0)


def _log_softplus(logits: NDArray) -> NDArray:
    """Return ``log(log(1 + exp(logits)))``, which for very negative logits is these themselves."""
    return np.where(logits < -30, logits, np.log(np.logaddexp(0, np.maximum(logits, -30))))
