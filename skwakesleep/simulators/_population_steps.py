"""One step of a population with delayed births: draws, densities, scores, and the integral over the recruits.

Parameters are the logarithms of fecundity, capacity, mortality and the two noises. Latents of a step are the logarithms
of the recruits and of the losses. Steps are arrays of any shape.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, gammaln

from skwakesleep._engine.arrays.numerics import log_sum_exp

Steps = tuple[NDArray, NDArray]


class Windows(NamedTuple):
    """Populations after each step, before it, and at the time of its births."""

    after: NDArray
    before: NDArray
    delayed: NDArray


# Populations are at least this large, so that their logarithms are finite.
SMALLEST_POPULATION = 1e-300
# Nats below the peak of an integrand beyond which a term is less than the resolution of float64.
MAX_LOG_RATIO = 37.0
# End of the nodes' scale: there, the share of recruits differs from 0 and 1 by less than 1e-300.
REACH = 7.5


def draw_step(theta: NDArray, current: NDArray, delayed: NDArray, rng: np.random.Generator) -> tuple[Steps, NDArray]:
    """Draw the logarithms of recruits and losses, and return them with the next population."""
    recruits, losses = (
        log_mean + np.log(np.maximum(rng.standard_gamma(shape, len(current)) / shape, SMALLEST_POPULATION))
        for log_mean, shape in gammas(theta, delayed)
    )
    population = np.exp(recruits) + current * np.exp(-np.exp(losses))
    return (recruits, losses), np.maximum(population, SMALLEST_POPULATION)


def gammas(theta: NDArray, delayed: NDArray) -> tuple[tuple[NDArray, NDArray], tuple[NDArray, NDArray]]:
    """Return the log mean and the shape of the recruits and of the losses."""
    log_fecundity, log_capacity, log_mortality, *log_noises = theta
    log_births = log_fecundity + np.log(delayed) - delayed * np.exp(-log_capacity)
    shape_births, shape_deaths = np.exp(-2 * np.array(log_noises))
    return (log_births, shape_births), (log_mortality, shape_deaths)


def log_densities(theta: NDArray, z: Steps, delayed: NDArray) -> NDArray:
    """Return the log-density of the latents of each step: logarithms of two gamma variables, in nats."""
    total = np.zeros(1)
    for values, (log_mean, shape) in zip(z, gammas(theta, delayed), strict=True):
        relative = values - log_mean
        total = total + shape * (np.log(shape) + relative - np.exp(relative)) - gammaln(shape)
    return total


def weighted_scores(theta: NDArray, z: Steps, delayed: NDArray, weights: NDArray) -> NDArray:
    """Return the sum over all steps of their scores times their weights, ``(5,)``."""
    gradient = np.empty(5)
    for place, values, (log_mean, shape) in zip((0, 1), z, gammas(theta, delayed), strict=True):
        relative = values - log_mean
        by_log_mean = weights * shape * np.expm1(relative)
        by_log_shape = weights * shape * (np.log(shape) - digamma(shape) + relative - np.expm1(relative))
        gradient[2 * place] = by_log_mean.sum()
        gradient[3 + place] = -2 * by_log_shape.sum()
        if place == 0:
            gradient[1] = np.sum(by_log_mean * delayed) * np.exp(-theta[1])
    return gradient


def summed_out(theta: NDArray, windows: Windows, n_nodes: int) -> tuple[NDArray, NDArray, Steps]:
    """Return the log-likelihood of each step, and the posterior weights ``(..., n_nodes)`` of latents."""
    windows = Windows(*(part[..., np.newaxis] for part in windows))
    nodes, step = _nodes(theta, windows, n_nodes)
    log_integrand, z = _integrand(theta, nodes, windows)
    log_total = log_sum_exp(log_integrand, axis=-1)[..., np.newaxis]
    return (log_total + np.log(step))[..., 0], np.exp(log_integrand - log_total), z


def _integrand(theta: NDArray, nodes: NDArray, windows: Windows) -> tuple[NDArray, Steps]:
    """Return the log of the integrand, and the latents at the nodes.

    Of the population after the step, ``min(after, before)`` may be recruits or survivors. If a share ``s`` of them are
    recruits, the density of the population is an integral over ``logit(s) = sinh(node)``: of the density of the
    recruits, times that of the losses, times ``s`` and ``cosh(node)``.
    """
    after, before, delayed = windows
    logits = np.sinh(nodes)
    uncertain = np.minimum(after, before)
    log_share = -np.logaddexp(0, -logits)
    recruits = np.logaddexp(_log(after - uncertain), np.log(uncertain) + log_share)
    losses = np.logaddexp(_log(np.log(before / uncertain)), _log_softplus(logits))
    z = recruits, losses
    # Subtract the latents: densities of logarithms become densities of recruits and losses.
    return log_densities(theta, z, delayed) - recruits - losses + log_share + np.log(np.cosh(nodes)), z


def _nodes(theta: NDArray, windows: Windows, n_nodes: int) -> tuple[NDArray, NDArray]:
    """Return nodes ``(..., n_nodes)`` where the integrand is not negligible, and their distance ``(..., 1)``.

    The range is narrowed three times, since the first, coarse nodes can be wider apart than a peak is wide.
    """
    reach = np.linspace(-REACH, REACH, n_nodes)
    nodes = np.broadcast_to(reach, np.broadcast_shapes(windows.after.shape, reach.shape))
    for _ in range(3):
        log_integrand, _ = _integrand(theta, nodes, windows)
        relevant = log_integrand > log_integrand.max(axis=-1, keepdims=True) - MAX_LOG_RATIO
        first = np.maximum(relevant.argmax(axis=-1) - 1, 0)
        last = np.minimum(n_nodes - relevant[..., ::-1].argmax(axis=-1), n_nodes - 1)
        low, high = (np.take_along_axis(nodes, end[..., np.newaxis], axis=-1) for end in (first, last))
        nodes = low + (high - low) * np.linspace(0, 1, n_nodes)
    return nodes, (high - low) / (n_nodes - 1)


def _log(values: NDArray) -> NDArray:
    """Return the logarithm; minus infinity at zero, without a warning."""
    return np.log(values, out=np.full_like(values, -np.inf), where=values > 0)


def _log_softplus(logits: NDArray) -> NDArray:
    """Return ``log(log(1 + exp(logits)))``; for very negative logits this is the logits themselves."""
    return np.where(logits < -30, logits, np.log(np.logaddexp(0, np.maximum(logits, -30))))
