"""The error of the log-likelihood, measured on dreams of the machine, where it can be bounded from both sides."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from skwakesleep._engine.arrays.numpy_backend import NumpyBackend
from skwakesleep._engine.arrays.random import FineNoise
from skwakesleep._engine.machine.networks import Machine
from skwakesleep._engine.machine.rows import Visible
from skwakesleep._engine.posterior.likelihood import posterior_of
from skwakesleep._engine.posterior.particles import Estimate, estimate_of


@dataclass(frozen=True, eq=False)
class Certificate:
    """Bounds of the mean log-likelihood of dreams of a machine, as `HelmholtzMachine.certify` returns them.

    The lower bound is the estimate of `score_samples`. The upper bound is the same with one of the particles drawn from
    the exact posterior. For dreams this is possible: their own causes are such a draw [1]_. Both hold on average over
    the particles, which are drawn anew for each dream. The parameters are attributes.

    Parameters
    ----------
    lower : float
        Mean lower bound of the dreams, in nats per row.

    upper : float
        Mean upper bound, likewise.

    interval : tuple of float
        Interval around both bounds, allowing for their Monte-Carlo error, that covers the exact mean log-likelihood of
        the dreams with the given confidence, in nats per row.

    width : float
        ``upper - lower``: the uncertainty of a score in nats per row.

    width_interval : tuple of float
        Confidence interval of the mean width over all dreams of the machine.

    confidence : float
        Of both intervals.

    effective_sizes : ndarray of shape (n_dreams,)
        Number of equally weighted particles with the same error, for each dream; infinite if the likelihood is exact.

    n_dreams : int
        Number of dreams.

    n_particles : int
        Particles per dream.

    n_steps : int
        Annealing steps of each particle.

    References
    ----------
    .. [1] R. B. Grosse, Z. Ghahramani, R. P. Adams. "Sandwiching the marginal likelihood using bidirectional Monte
       Carlo". arXiv:1511.02543, 2015.

    Examples
    --------
    With few latents, the likelihood is computed exactly:

    >>> from skwakesleep import Certificate, HelmholtzMachine
    >>> from skwakesleep.datasets import make_bars
    >>> X, _ = make_bars(100, random_state=0)
    >>> certificate = HelmholtzMachine(3, max_iter=2, tol=None, random_state=0).fit(X).certify(10, random_state=0)
    >>> isinstance(certificate, Certificate)
    True
    >>> print(certificate)
    The score is exact.
    """

    lower: float
    upper: float
    interval: tuple[float, float]
    width: float
    width_interval: tuple[float, float]
    confidence: float
    effective_sizes: NDArray
    n_dreams: int
    n_particles: int
    n_steps: int

    def __str__(self) -> str:
        if np.isinf(self.effective_sizes).all():
            return "The score is exact."
        low, high = self.width_interval
        return (
            f"The score is known to within {self.width:.2g} nats per row ({self.confidence:.0%} confidence: {low:.2g} "
            f"to {high:.2g}) at {self.n_particles} particles and {self.n_steps} annealing steps, whose median "
            f"effective sample size is {np.median(self.effective_sizes):.3g}."
        )


def certify(
    machine: Machine,
    parameters: NDArray,
    backend: NumpyBackend,
    entropy: int | list[int] | None,
    *,
    n_dreams: int,
    n_particles: int,
    n_steps: int = 0,
    confidence: float = 0.95,
) -> Certificate:
    """Return bounds of the log-likelihood on dreams of a machine.

    Parameters
    ----------
    machine : Machine
        The networks.
    parameters : ndarray of shape (machine.layout.size,)
        Their flat parameters, in the dtype to compute in.
    backend : NumpyBackend
        Computes.
    entropy : int, list of int or None
        Seed of the dreams and the particles.
    n_dreams : int
        Number of dreams, at least 2.
    n_particles : int
        Particles per dream, at least 2; unused by enumeration.
    n_steps : int, default=0
        Annealing steps of each particle, likewise.
    confidence : float, default=0.95
        Of the intervals, in (0, 1).

    Returns
    -------
    certificate : Certificate
        In nats per row, in the units of the user's columns.
    """
    dreaming, drawing = (FineNoise(np.random.default_rng(seed)) for seed in np.random.SeedSequence(entropy).spawn(2))
    states = machine.bind(parameters, backend.new()).generative.sample(None, (n_dreams, 1), dreaming)
    posterior = posterior_of(machine, parameters, backend, n_particles, n_steps, noise=lambda: drawing)
    brackets = []
    for start in range(0, n_dreams, posterior.n_rows):
        *causes, units = (layer[start : start + posterior.n_rows] for layer in states)
        x = Visible(units, machine.columns.root(units, None))
        brackets.append([estimate_of(particles) for particles in posterior.bracket(x, causes[::-1])])
    lower, upper = (Estimate(*map(np.concatenate, zip(*bounds, strict=True))) for bounds in zip(*brackets, strict=True))
    widths = upper.log_likelihood - lower.log_likelihood
    width, sides = float(widths.mean()), (1 - confidence) / 2
    spread = float(stats.t.isf(sides, n_dreams - 1) * widths.std(ddof=1) / np.sqrt(n_dreams))
    low, high = (_mean_and_margin(bound, sides) for bound in (lower, upper))
    lower.effective_size.flags.writeable = False
    return Certificate(
        lower=low[0],
        upper=high[0],
        interval=(low[0] - low[1], high[0] + high[1]),
        width=width,
        width_interval=(max(0.0, width - spread), width + spread),
        confidence=confidence,
        effective_sizes=lower.effective_size,
        n_dreams=n_dreams,
        n_particles=n_particles,
        n_steps=n_steps,
    )


def _mean_and_margin(bound: Estimate, sides: float) -> tuple[float, float]:
    """Return the mean of a bound, and the margin of its Monte-Carlo error to one side."""
    error = np.sqrt(np.square(bound.standard_error).sum()) / len(bound.standard_error)
    return float(bound.log_likelihood.mean()), float(stats.norm.isf(sides) * error)
