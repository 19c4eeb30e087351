"""The posterior by importance sampling, and by annealed importance sampling.

Particles are drawn from a start, the recognition network, and moved through distributions that lead from there to the
posterior (Neal 2001): ``log f_b = (1 - b) log q(h | x) + b log p(x, h)``. Their mean weight is an unbiased estimate of
``p(x)``, and its log a lower bound on average. If one particle instead comes from the posterior and takes the same
steps backwards, it is an upper bound on average (Grosse, Ghahramani & Adams 2015, arXiv:1511.02543). Without steps,
this is importance sampling and its upper bound.
"""

from collections.abc import Callable, Iterator
from itertools import accumulate, pairwise
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skwakesleep._engine.arrays.numerics import log_sum_exp, sigmoid
from skwakesleep._engine.arrays.random import CommonNoise, Noise
from skwakesleep._engine.machine.networks import BeliefNetwork, Machine, Networks
from skwakesleep._engine.machine.rows import Visible
from skwakesleep._engine.posterior.completion import with_completions
from skwakesleep._engine.posterior.particles import Particles

# Units of particles computed at a time: a megabyte of them stays in the processor's cache.
CACHED_UNITS = 2**17
# A step redraws one unit in this number. Larger blocks are rejected more often, smaller ones move less: among whole,
# half, third, quarter and tenth, a third gave the highest bounds with 200 units on MNIST and 100 on Mushrooms.
N_BLOCKS = 3
BLOCKS_SEED = 2001

# Root and states of a network, and which of the last are missing, given the data and the hidden layers, bottom up.
Arrangement = Callable[[Visible, list[NDArray]], tuple[NDArray | None, list[Any], NDArray | None]]


NOT_COMPUTED: Any = Visible(None, None)  # type: ignore[arg-type]


class Expansion(NamedTuple):
    """A network at states of the hidden units: log-probability ``(B, K)`` in nats and log-odds ``(B, K, N)``.

    The log-odds, to second order, are those that a unit is active if all others stay as they are.
    """

    log_prob: NDArray
    log_odds: NDArray


class HiddenDistribution:
    """A network as a function of all hidden units, given the data.

    Parameters
    ----------
    network : BeliefNetwork
        The network.
    sizes : sequence of int
        Widths of the hidden layers, bottom up.
    arrange : Arrangement
        Puts the data and the hidden layers in the order of the network.
    """

    def __init__(self, network: BeliefNetwork, sizes: tuple[int, ...], arrange: Arrangement) -> None:
        self._network = network
        self._arrange = arrange
        self._slices = [slice(*pair) for pair in pairwise(accumulate(sizes, initial=0))]
        self._widest = max(layer.n_units for layer in network.layers)

    def log_prob(self, x: Visible, units: NDArray) -> NDArray:
        """Return the log-probability of the hidden units ``(B, K, N)`` for rows, in nats."""
        log_prob = np.empty(units.shape[:-1], units.dtype)
        for some in self._cached_rows(units):
            log_prob[some] = self._network.log_prob(*self._arrange(x.rows(some), self._layers(units[some])))
        return log_prob

    def expand(self, x: Visible, units: NDArray) -> Expansion:
        """Return the log-probability and the log-odds of each unit."""
        log_prob, log_odds = np.empty(units.shape[:-1], units.dtype), np.zeros_like(units)
        for some in self._cached_rows(units):
            _, of_states, _ = self._arrange(NOT_COMPUTED, self._layers(log_odds[some]))
            root, states, missing = self._arrange(x.rows(some), self._layers(units[some]))
            log_prob[some] = self._network.add_log_odds(root, states, of_states, missing)
        return Expansion(log_prob, log_odds)

    def _layers(self, units: NDArray) -> list[NDArray]:
        return [units[..., own] for own in self._slices]

    def _cached_rows(self, units: NDArray) -> Iterator[slice]:
        """Yield slices of rows with at most `CACHED_UNITS` units of particles, or one row."""
        n_rows = max(1, CACHED_UNITS // (units.shape[1] * self._widest))
        return (slice(start, start + n_rows) for start in range(0, len(units), n_rows))


class AnnealedImportanceSampling:
    """Particles for each row by (annealed) importance sampling.

    Parameters
    ----------
    machine : Machine
        The machine.
    networks : Networks
        Its networks, with a backend that computes by row.
    n_particles : int
        Particles per row.
    n_steps : int, default=0
        Distributions between the start and the posterior, with a step of a Markov chain in each; zero is importance
        sampling.
    start : {"recognition", "prior"}, default="recognition"
        Where particles are drawn from. The prior is the usual start, to compare with.
    noise : callable, optional
        Returns the noise to draw the particles of some rows from; by default the same for every row.
    """

    def __init__(
        self,
        machine: Machine,
        networks: Networks,
        n_particles: int,
        n_steps: int = 0,
        *,
        start: Literal["recognition", "prior"] = "recognition",
        noise: Callable[[], Noise] | None = None,
    ) -> None:
        sizes = machine.hidden_sizes
        self._columns = machine.columns
        self.n_rows = min(64, max(1, CACHED_UNITS // (n_particles * machine.n_latents)))
        self._n_particles = n_particles
        self._n_steps = n_steps
        self._n_bottom = sizes[0]
        self._noise = noise or CommonNoise(n_particles, machine.n_latents).rewind
        generative = networks.generative
        self._visible_layer = generative.layers[-1]
        self._model = HiddenDistribution(generative, sizes, _downwards)
        self._from_prior = start == "prior"
        self._start_network = BeliefNetwork(generative.layers[:-1]) if self._from_prior else networks.recognition
        self._start = HiddenDistribution(
            self._start_network, sizes, _causes_downwards if self._from_prior else _upwards
        )
        self._exponents = np.arange(n_steps + 2) / (n_steps + 1)
        self._blocks = _blocks(machine.n_latents, n_steps)

    def __call__(self, x: Visible) -> Particles:
        """Return particles for each row."""
        noise = self._noise()
        particles = self._sampled(x, noise)
        if x.missing is None or self._n_steps:
            return particles
        # All of them, not only those with few effective particles: such a choice would bias the likelihood downwards.
        incomplete: NDArray = np.any(x.missing, axis=(1, 2))
        # Copies, since further draws overwrite the arrays of those before.
        others, first = particles.rows(~incomplete), particles.rows(incomplete)
        rows = with_completions(self._columns, self._visible_layer, x.rows(incomplete), first, noise)
        return Particles.merged(incomplete, self._sampled(rows, noise), others)

    def _sampled(self, x: Visible, noise: Noise) -> Particles:
        hidden = self._drawn(x, noise)
        completed = self._completed(x, hidden, noise)
        particles = self._particles(*self._annealed(completed, hidden, noise))
        return particles if completed is x else particles._replace(units=completed.units)

    def bracket(self, x: Visible, causes: list[NDArray]) -> tuple[Particles, Particles]:
        """Return particles for lower and upper bounds of the likelihood of dreams, given their causes.

        For the upper bound, one of the particles starts from the causes, an exact draw from the posterior, and takes
        the steps backwards.
        """
        noise = self._noise()
        units, log_weights = self._annealed(x, self._drawn(x, noise), noise)
        known = np.concatenate(causes, axis=-1)
        upper_units, upper_log_weights = units.copy(), log_weights.copy()
        upper_units[:, :1] = known
        upper_log_weights[:, :1] = self._annealed_backwards(x, known, noise)
        return self._particles(units, log_weights), self._particles(upper_units, upper_log_weights)

    def _particles(self, units: NDArray, log_weights: NDArray) -> Particles:
        return Particles(units[..., : self._n_bottom], log_weights - np.log(self._n_particles), exact=False)

    def _annealed(self, x: Visible, units: NDArray, noise: Noise) -> tuple[NDArray, NDArray]:
        """Return hidden units ``(B, K, N)`` that have taken all steps, and their log weights ``(B, K)``."""
        if not self._n_steps:
            return units, self._model.log_prob(x, units) - self._log_start(x, units)
        point = self._point(x, units)
        log_weights = self._rise(0) * point.log_ratio
        for step in range(1, self._n_steps + 1):
            point = self._move(point, x, step, noise)
            log_weights += self._rise(step) * point.log_ratio
        return point.units, log_weights

    def _annealed_backwards(self, x: Visible, units: NDArray, noise: Noise) -> NDArray:
        """Return the log weights ``(B, K)`` of particles that end in given units."""
        point = self._point(x, units)
        log_weights = self._rise(self._n_steps) * point.log_ratio
        for step in range(self._n_steps, 0, -1):
            point = self._move(point, x, step, noise)
            log_weights += self._rise(step - 1) * point.log_ratio
        return log_weights

    def _drawn(self, x: Visible, noise: Noise) -> NDArray:
        """Return hidden units ``(B, K, N)`` drawn from the start."""
        shape = len(x.units), self._n_particles
        if self._from_prior:
            states = self._start_network.sample(None, shape, noise)[::-1]
        else:
            n_inputs = x.root.shape[1]
            root = x.root if n_inputs == 1 else x.root[:, np.arange(self._n_particles) % n_inputs]
            states = self._start_network.sample(root, shape, noise)
        return np.concatenate(states, axis=-1)

    def _log_start(self, x: Visible, units: NDArray) -> NDArray:
        """Return the log-density of the start: of the mixture if the recognition network has several inputs.

        A particle is then drawn from one of them, but has the weight of all (deterministic mixture, Owen & Zhou 2000).
        """
        if self._from_prior or x.root.shape[1] == 1:
            return self._start.log_prob(x, units)
        shares = np.bincount(np.arange(self._n_particles) % x.root.shape[1]) / self._n_particles
        terms = [
            self._start.log_prob(x._replace(root=x.root[:, [number]]), units) + np.log(share)
            for number, share in enumerate(shares)
        ]
        return log_sum_exp(np.stack(terms), axis=0)

    def _completed(self, x: Visible, units: NDArray, noise: Noise) -> Visible:
        """Return rows with missing units drawn for each particle if later units depend on them."""
        visible = self._visible_layer
        if x.missing is None or not visible.autoregressive:
            return x
        if self._n_steps:
            raise ValueError(
                "Rows with missing values cannot be annealed if columns are autoregressive. Set n_score_steps=0."
            )
        bottom = units[..., : self._n_bottom]
        return x._replace(units=visible.complete(bottom, x.units, x.missing, noise))

    def _rise(self, step: int) -> float:
        """Return by how much the exponent rises after a step; step zero is the start."""
        return float(self._exponents[step + 1] - self._exponents[step])

    def _point(self, x: Visible, units: NDArray) -> "Point":
        return Point(units, self._start.expand(x, units), self._model.expand(x, units))

    def _move(self, here: "Point", x: Visible, step: int, noise: Noise) -> "Point":
        """Redraw a block of units, each given all others as they are, and accept or reject (Metropolis & Hastings).

        If the log-odds were exact and the units independent, every proposal would be accepted.
        """
        exponent, block = float(self._exponents[step]), self._blocks[step - 1]
        log_odds = here.log_odds(exponent, block)
        units = here.units.copy()
        units[..., block] = noise.uniform(log_odds.shape, np.float64) < sigmoid(log_odds, np.empty_like(log_odds))
        there = self._point(x, units)
        log_ratio = (
            there.log_prob(exponent)
            - here.log_prob(exponent)
            + _log_bernoulli(here.units[..., block], there.log_odds(exponent, block))
            - _log_bernoulli(units[..., block], log_odds)
        )
        chance = np.exp(np.minimum(log_ratio, 0))
        return there.unless(noise.uniform((*chance.shape, 1), np.float64)[..., 0] >= chance, here)


class Point(NamedTuple):
    """States of the hidden units of all particles, ``(B, K, N)``, with the start and the model there."""

    units: NDArray
    start: Expansion
    model: Expansion

    @property
    def log_ratio(self) -> NDArray:
        """Log of the model's density over the start's, ``(B, K)``."""
        return self.model.log_prob - self.start.log_prob

    def log_prob(self, exponent: float) -> NDArray:
        """Log-density of an intermediate distribution, ``(B, K)``."""
        return (1 - exponent) * self.start.log_prob + exponent * self.model.log_prob

    def log_odds(self, exponent: float, block: NDArray) -> NDArray:
        """Log-odds of the units of a block in an intermediate distribution, ``(B, K, n_block)``."""
        return (1 - exponent) * self.start.log_odds[..., block] + exponent * self.model.log_odds[..., block]

    def unless(self, rejected: NDArray, other: "Point") -> "Point":
        """Overwrite this point by another for rejected particles, ``(B, K)``, and return it."""
        np.copyto(self.units, other.units, where=rejected[..., np.newaxis])
        for new, old in zip(self[1:], other[1:], strict=True):
            np.copyto(new.log_prob, old.log_prob, where=rejected)
            np.copyto(new.log_odds, old.log_odds, where=rejected[..., np.newaxis])
        return self


def _upwards(x: Visible, hidden: list[NDArray]) -> tuple[NDArray | None, list[Any], NDArray | None]:
    return x.root, [*hidden], None


def _downwards(x: Visible, hidden: list[NDArray]) -> tuple[NDArray | None, list[Any], NDArray | None]:
    return None, [*hidden[::-1], x.units], x.missing


def _causes_downwards(x: Visible, hidden: list[NDArray]) -> tuple[NDArray | None, list[Any], NDArray | None]:
    return None, [*hidden[::-1]], None


def _blocks(n_units: int, n_steps: int) -> list[NDArray]:
    """Return the units to redraw in each step: the parts of a random partition in turn, then of another."""

    def parts() -> Iterator[NDArray]:
        generator = np.random.default_rng(BLOCKS_SEED)
        while True:
            yield from np.array_split(generator.permutation(n_units), min(n_units, N_BLOCKS))

    return [part for part, _ in zip(parts(), range(n_steps), strict=False)]


def _log_bernoulli(units: NDArray, log_odds: NDArray) -> NDArray:
    """Return the log-probability of binary units with the given log-odds, summed over units."""
    return -np.logaddexp(0, (1 - 2 * units) * log_odds).sum(axis=-1)
