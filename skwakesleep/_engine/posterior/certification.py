"""How well the log-likelihood is known, measured where it can be bounded from both sides: on the machine's dreams."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from skwakesleep._engine.arrays.random import FineNoise
from skwakesleep._engine.arrays.workspace import Workspace
from skwakesleep._engine.machine.networks import Machine
from skwakesleep._engine.posterior.estimates import Estimate
from skwakesleep._engine.posterior.likelihood import choose


@dataclass(frozen=True, eq=False)
class Certificate:
    """Bounds of the mean log-likelihood of a machine's own dreams, as `HelmholtzMachine.certify` returns them.

    The lower bound is the estimate of `score_samples`. For the upper bound, one of the particles is an exact draw from
    the posterior: the latents that generated the dream [1]_. Both bounds hold on average over the particles. The
    parameters are attributes of the certificate; printed, it is a sentence.

    Parameters
    ----------
    lower : float
        Mean lower bound of the dreams, in nats per row.

    upper : float
        Mean upper bound, likewise.

    interval : tuple of float
        Interval around both that covers the exact mean log-likelihood of the dreams with the given confidence, in nats
        per row: it allows for the Monte-Carlo error of the bounds.

    width : float
        ``upper - lower``, in nats per row: the uncertainty of a score.

    width_interval : tuple of float
        Confidence interval of the width as the mean over all dreams that the machine can have.

    confidence : float
        Of both intervals.

    effective_sizes : ndarray of shape (n_dreams,)
        Effective number of particles for each dream; infinite where the likelihood is exact.

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
    entropy : int, list of int or None
        Seeds the dreams and the particles.
    n_dreams : int
        How many, at least 2.
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
    theta = machine.bind(parameters)
    states = machine.generative.sample(theta.generative, None, (n_dreams,), dreaming, Workspace())
    estimator = choose(machine, theta, n_particles, n_steps, noise=lambda: drawing)
    brackets = []
    for start in range(0, n_dreams, estimator.rows_at_once):
        *causes, x = (layer[start : start + estimator.rows_at_once] for layer in states)
        brackets.append(estimator.bracket(x, causes[::-1]))
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
    """Return the mean of a bound, and by how much its Monte-Carlo error may have moved it to one side."""
    error = np.sqrt(np.square(bound.standard_error).sum()) / len(bound.standard_error)
    return float(bound.log_likelihood.mean()), float(stats.norm.isf(sides) * error)
