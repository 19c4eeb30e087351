"""A layer: an affine map of the parent units that gives the natural parameters of a family.

Arrays have the shape ``(B, K, N)``: rows of data, particles, units. An array that is the same for all rows or for all
particles has size one along that axis.
"""

from collections.abc import Callable, Iterator
from functools import cached_property
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skwakesleep._engine.arrays.numerics import broadcast_shape
from skwakesleep._engine.arrays.numpy_backend import NumpyBackend, matrix_rows
from skwakesleep._engine.arrays.random import Noise
from skwakesleep._engine.machine.families import Family, Group
from skwakesleep._engine.training.layout import Shapes, Views

# Block size of the forward substitution by which autoregressive units are drawn.
BLOCK_SIZE = 32
# Relative step size of autoregressive weights in layers with parents.
AUTOREGRESSIVE_RATE = 0.3


class Units(NamedTuple):
    """Units of a layer.

    Their family and number, the mean of each or of all before training, and the mean squared norm of a row: for binary
    units the mean number of ones.
    """

    family: Family
    size: int
    means: NDArray | float
    n_active: float


class Activation(NamedTuple):
    """What a layer computes given its parents, as the gradient needs it.

    ``target (B, K, N)`` is the state of the units, drawn or given; ``log_prob (B, K)`` its log-probability in nats;
    ``residual (B, K, N)`` the gradient of this with respect to the natural parameters, which are `natural`: kept only
    if the family uses them for the gradient of its own parameters. Units that are `missing` do not count.
    """

    parent: NDArray | None
    target: NDArray
    log_prob: NDArray
    residual: NDArray
    natural: NDArray | None
    missing: NDArray | None = None


class Layer:
    """Units with natural parameters ``parent @ weights + intercept``, independent given their parents.

    In an autoregressive layer (Gregor et al. 2014) each unit also depends on those before it: ``target @ triangle`` is
    added, with `triangle` strictly upper triangular. Given units are evaluated by one matrix product; drawing goes from
    unit to unit.

    A layer holds no numbers: `bind` joins it with parameters.

    Parameters
    ----------
    name : str
        Name of its group of parameters.
    units : Units
        Its units.
    parents : Units, optional
        The units of the parent layer; none for a prior.
    autoregressive : bool, default=False
        Whether units depend on those before them.
    """

    def __init__(self, name: str, units: Units, parents: Units | None = None, *, autoregressive: bool = False) -> None:
        self.name = name
        self.units = units
        self.parents = parents
        self.autoregressive = autoregressive
        self.n_units = units.size

    def shapes(self) -> Shapes:
        """Return the shapes of the parameters, by name."""
        shapes: Shapes = {}
        if self.parents is not None:
            shapes["weights"] = (self.parents.size, self.n_units)
        if self.autoregressive:
            shapes["triangle"] = (self.n_units, self.n_units)
        return {**shapes, "intercept": (self.n_units,), **self.units.family.shapes(self.n_units)}

    def initial(self, generator: np.random.Generator) -> Views:
        """Return the parameters before training: random weights, and intercepts that give the units their means."""
        initial = self.units.family.initial(np.broadcast_to(self.units.means, self.n_units))
        for name, shape in self.shapes().items():
            if name == "weights":
                bound = np.sqrt(6.0 / sum(shape))  # Glorot & Bengio (2010)
                initial[name] = generator.uniform(-bound, bound, shape)
            elif name == "triangle":
                initial[name] = np.zeros(shape)
        return initial

    def step_scales(self) -> dict[str, float]:
        """Return, for each parameter, the step size that changes a unit's natural parameter by about one.

        Adam moves all weights of a unit by the same amount, so the effect grows with the number of active parents:
        weights take steps of one over its root. The intercept is the weight of a parent that is always active. A prior
        takes the steps of an autoregressive one in any case: with larger steps, units become inactive early.
        """
        among_units = 1 / np.sqrt(max(1.0, self.units.n_active))
        if self.parents is None:
            return {"triangle": among_units, "intercept": among_units}
        from_parents = 1 / np.sqrt(max(1.0, self.parents.n_active))
        return {"weights": from_parents, "triangle": AUTOREGRESSIVE_RATE * among_units, "intercept": from_parents}

    def bind(self, params: Views, backend: NumpyBackend) -> "BoundLayer":
        """Return the layer with parameters."""
        return BoundLayer(self, params, backend)


class BoundLayer:
    """A layer with its parameters and a backend that computes.

    Parameters
    ----------
    layer : Layer
        The layer.
    params : Views
        Its parameters, which may change between calls.
    backend : NumpyBackend
        Scratch arrays and operations.
    """

    def __init__(self, layer: Layer, params: Views, backend: NumpyBackend) -> None:
        self.params = params
        self.n_units = layer.n_units
        self.autoregressive = layer.autoregressive
        self._has_own_params = bool(layer.units.family.shapes(self.n_units))
        self._name = layer.name
        self._family = layer.units.family
        self._is_binary = self._family.is_binary
        self._keeps_natural = self._family.uses_natural
        self._neutral = np.asarray(layer.units.family.neutral, params["intercept"].dtype)
        self._backend = backend
        self._dtype = params["intercept"].dtype

    def natural(self, parent: NDArray | None) -> NDArray:
        """Return the natural parameters given the parents, in an array that may be overwritten."""
        intercept = self.params["intercept"]
        if parent is None:
            natural = self._scratch("natural", (1, 1))
            np.copyto(natural, intercept)
            return natural
        shape = parent.shape[:-1] if isinstance(parent, np.ndarray) else (parent.shape[0], 1)
        return self._backend.matmul(parent, self.params["weights"], self._scratch("natural", shape), intercept)

    def mean(self, parent: NDArray | None) -> NDArray:
        """Return the expected units given the parents; in an autoregressive layer, given the means of those before."""
        natural = self.natural(parent)
        if not self.autoregressive:
            return self._family.mean(natural, natural, self._backend)

        def expected(number: int, family: Family, own: NDArray, out: NDArray) -> None:
            family.mean(own, out, self._backend)

        return self._in_turn(natural, natural.shape[:-1], expected)

    def expected_natural(self, parent: NDArray | None) -> NDArray:
        """Return the natural parameters given the parents; in an autoregressive layer, given the means of the units."""
        return self._natural_of(parent, self.mean(parent)) if self.autoregressive else self.natural(parent)

    def sample(self, parent: NDArray | None, shape: tuple[int, ...], noise: Noise) -> NDArray:
        """Draw units of shape ``(*shape, N)`` given the parents."""
        natural = self.natural(parent)
        if not self.autoregressive:
            return self._sampled(natural, shape, noise)
        thresholds = self._family.thresholds(self.params, noise, (*shape, self.n_units), self._dtype)
        if self._is_binary:
            units = self._scratch("sample", shape)
            if self._backend.binary_in_turn(natural, self.params["triangle"], thresholds, units):
                return units
        by_group = np.ascontiguousarray(matrix_rows(thresholds).T)

        def drawn(number: int, family: Family, own: NDArray, out: NDArray) -> None:
            family.decide(own, by_group[number, :, np.newaxis], out)

        return self._in_turn(natural, shape, drawn)

    def log_prob(self, parent: NDArray | None, target: NDArray, missing: NDArray | None = None) -> NDArray:
        """Return the log-probability of `target` given the parents, ``(B, K)``, in nats.

        Units that are `missing` ``(B, 1, N)`` do not count. They are zero; in an autoregressive layer they have any
        values, which later units depend on.
        """
        natural = self._natural_of(parent, target)
        if missing is not None:
            natural, target = self._without(missing, natural, target)
        unnormalized = self._family.unnormalized_log_prob(self.params, natural, target, self._backend)
        return unnormalized - self._family.log_normalizer(self.params, natural, None, self._backend, missing)

    def complete(self, parent: NDArray | None, target: NDArray, missing: NDArray, noise: Noise) -> NDArray:
        """Return `target` with missing units drawn given the parents and, in an autoregressive layer, those before."""
        natural = self.natural(parent)
        shape = natural.shape[:-1]
        if not self.autoregressive:
            return np.where(missing, self._sampled(natural, shape, noise), target)
        thresholds = self._family.thresholds(self.params, noise, (*shape, self.n_units), self._dtype)
        by_group = np.ascontiguousarray(matrix_rows(thresholds).T)
        known, absent = (matrix_rows(np.broadcast_to(array, (*shape, self.n_units))) for array in (target, missing))

        def drawn(number: int, family: Family, own: NDArray, out: NDArray) -> None:
            _, start, stop = self._groups[number]
            family.decide(own, by_group[number, :, np.newaxis], out)
            np.copyto(out, known[:, start:stop], where=~absent[:, start:stop])

        return self._in_turn(natural, shape, drawn)

    def draw(self, parent: NDArray | None, shape: tuple[int, ...], noise: Noise) -> Activation:
        """Draw the units and evaluate them."""
        if self.autoregressive:
            return self.evaluate(parent, self.sample(parent, shape, noise))
        natural = self.natural(parent)
        return self._evaluated(parent, natural, self._sampled(natural, shape, noise))

    def evaluate(self, parent: NDArray | None, target: NDArray, missing: NDArray | None = None) -> Activation:
        """Evaluate given units, of which some may be missing.

        Missing units of an autoregressive layer, which `complete` has drawn, have residuals: they are independent of
        the weights of the particles only if no later unit depends on them.
        """
        if missing is not None and self.autoregressive:
            log_prob = self.log_prob(parent, target, missing)
            return self.evaluate(parent, target)._replace(log_prob=log_prob)
        natural = self._natural_of(parent, target)
        if missing is not None:
            natural, target = self._without(missing, natural, target)
        return self._evaluated(parent, natural, target, missing)

    def add_log_odds(
        self,
        parent: NDArray | None,
        target: NDArray,
        of_parent: NDArray | None,
        of_target: NDArray | None,
        missing: NDArray | None = None,
    ) -> NDArray:
        """Return the log-probability of `target`, ``(B, K)``, and add the log-odds of hidden units in place.

        The log-odds are those that a unit is active if all others stay as they are. To `of_parent` the approximate
        effect of the parents on this layer is added, to `of_target` the log-odds of the units given their parents. None
        is not computed. Units that are `missing` do not count.
        """
        natural = self._natural_of(parent, target)
        if missing is not None:
            natural, target = self._without(missing, natural, target)
        mean = self._scratch("mean", natural.shape[:-1])
        log_prob = self._family.unnormalized_log_prob(self.params, natural, target, self._backend)
        log_prob = log_prob - self._family.log_normalizer(self.params, natural, mean, self._backend, missing)
        shape = broadcast_shape(natural, target)
        residual = self._family.residual(self.params, mean, target, self._scratch("residual", shape[:-1]))
        curvature = self._family.curvature(self.params, mean)
        slopes = residual, curvature if missing is None else np.where(missing, 0, curvature)
        if of_parent is not None and parent is not None:
            of_parent += self._effects(*slopes, "weights", parent)
        if of_target is not None:
            of_target += natural  # the log-odds of a binary unit given its parents
            if self.autoregressive:
                of_target += self._effects(*slopes, "triangle", target)
        return log_prob

    def gradient(self, activation: Activation, particle_weights: NDArray, grad: Views) -> None:
        """Write the gradient of ``sum(particle_weights * log_prob)`` into `grad`; the weights are ``(B, K)``."""
        parent, target, _, residual, natural, missing = activation
        if self._has_own_params:
            self._family.gradient(self.params, natural, target, residual, particle_weights, grad, missing)
        np.matmul(particle_weights.reshape(-1), matrix_rows(residual), out=grad["intercept"])
        if parent is not None:
            self._product(parent, residual, particle_weights, grad["weights"])
        if self.autoregressive:
            self._product(target, residual, particle_weights, grad["triangle"])
            np.copyto(grad["triangle"], 0, where=self._not_before)

    def pull_intercept(self, strength: float, grad: Views) -> None:
        """Add the gradient of the prior on the intercept, times `strength`, to `grad`."""
        pull = self._family.intercept_pull(self.params["intercept"])
        if pull is not None:
            grad["intercept"] += strength * pull

    def damp(self, factors: Views) -> bool:
        """Write the factors of the steps of the parameters into `factors`; return false if there are none."""
        damping = self._family.damping(self.params)
        if damping is None:
            return False
        for name in factors.keys() & {"weights", "triangle", "intercept"}:
            factors[name][...] = damping
        return True

    @cached_property
    def _squares(self) -> Views:
        """Squared weights, of parameters that do not change."""
        return {name: np.square(self.params[name]) for name in self.params.keys() & {"weights", "triangle"}}

    def _effects(self, residual: NDArray, curvature: NDArray, name: str, seen: NDArray) -> NDArray:
        """Return by how much the log-probability of the layer rises if units that it sees turn from 0 to 1.

        To second order around their state: to the first, a unit that explains its targets well would have no effect.
        """
        return residual @ self.params[name].T + (seen - 0.5) * (curvature @ self._squares[name].T)

    def _product(self, seen: NDArray, residual: NDArray, weights: NDArray, out: NDArray) -> None:
        """Write ``sum(weights * outer(seen, residual))`` over rows and particles into `out`."""
        if seen.shape[:-1] == residual.shape[:-1]:
            self._backend.outer_sums(matrix_rows(seen), matrix_rows(residual), weights.reshape(-1), out)
        else:  # all particles of a row share the units
            shape = len(residual), self.n_units
            sums = self._backend.empty((self._name, "weighted sums"), shape, self._dtype)
            self._backend.weighted_sums(residual, weights, sums)
            self._backend.outer_sums(matrix_rows(seen), sums, None, out)

    def _natural_of(self, parent: NDArray | None, target: NDArray) -> NDArray:
        """Return the natural parameters given the parents and, in an autoregressive layer, the units themselves."""
        if not self.autoregressive:
            return self.natural(parent)
        lateral = self._scratch("lateral", target.shape[:-1])
        if parent is None:
            return self._backend.matmul(target, self.params["triangle"], lateral, self.params["intercept"])
        natural = self.natural(parent)
        self._backend.matmul(target, self.params["triangle"], lateral)
        shape = broadcast_shape(natural, lateral)
        out = natural if natural.shape == shape else self._scratch("sum", shape[:-1])
        return np.add(natural, lateral, out=out)

    def _evaluated(
        self, parent: NDArray | None, natural: NDArray, target: NDArray, missing: NDArray | None = None
    ) -> Activation:
        """Return the activation given natural parameters, which residuals overwrite if possible.

        More arrays would not fit into the cache.
        """
        shape = broadcast_shape(natural, target)
        in_place = natural.shape == shape and not self._keeps_natural
        residual = natural if in_place else self._scratch("residual", shape[:-1])
        if self._is_binary:
            log_prob = self._backend.bernoulli(natural, target, residual)
        else:
            log_prob = self._family.unnormalized_log_prob(self.params, natural, target, self._backend)
            mean = residual if natural.shape == shape else self._scratch("mean", natural.shape[:-1])
            log_prob = log_prob - self._family.log_normalizer(self.params, natural, mean, self._backend, missing)
            self._family.residual(self.params, mean, target, residual)
        return Activation(parent, target, log_prob, residual, natural if self._keeps_natural else None, missing)

    def _without(self, missing: NDArray, natural: NDArray, target: NDArray) -> tuple[NDArray, NDArray]:
        """Return natural parameters and targets with which missing units do not count."""
        shape = broadcast_shape(natural, missing)
        if natural.shape != shape:
            whole = self._scratch("natural by row", shape[:-1])
            whole[...] = natural
            natural = whole
        np.copyto(natural, self._neutral, where=missing)
        return natural, np.where(missing, 0, target) if self.autoregressive else target

    def _in_turn(
        self, natural: NDArray, shape: tuple[int, ...], choose: Callable[[int, Family, NDArray, NDArray], None]
    ) -> NDArray:
        """Return units whose groups are chosen one after the other, given natural parameters in view of those before.

        A blocked forward substitution, as for a triangular system. Here, units are rows: within a block, each group
        gets the effects of those before it; all later units then get the effects of the block at once.
        """
        triangle = self.params["triangle"]
        n_rows = prod(shape)
        pending, units, effects = (
            self._backend.empty((self._name, role), (self.n_units, n_rows), self._dtype)
            for role in ("pending", "units", "effects")
        )
        pending.reshape(-1, *shape)[...] = np.moveaxis(np.broadcast_to(natural, (*shape, self.n_units)), -1, 0)
        for block in self._blocks:
            first, last = block[0][1].start, block[-1][1].stop
            within = np.ascontiguousarray(triangle[first:last, first:last].T)
            for number, (family, start, stop) in block:
                own, out = pending[start:stop], units[start:stop]
                # A single unit takes less time as a vector than as a matrix of one row.
                if stop - start == 1:
                    own[0] += np.matmul(within[start - first, : start - first], units[first:start], out=effects[start])
                else:
                    before = within[start - first : stop - first, : start - first]
                    own += np.matmul(before, units[first:start], out=effects[start:stop])
                choose(number, family, own.T, out.T)
            pending[last:] += np.matmul(triangle[first:last, last:].T, units[first:last], out=effects[last:])
        sample = self._scratch("sample", shape)
        sample[...] = np.moveaxis(units.reshape(-1, *shape), 0, -1)
        return sample

    @cached_property
    def _groups(self) -> list[Group]:
        return self._family.groups(self.n_units)

    @cached_property
    def _blocks(self) -> list[list[tuple[int, Group]]]:
        return list(_blocks(self._groups))

    @cached_property
    def _not_before(self) -> NDArray:
        """Return where the weight of a unit to its own group or to one before it would be."""
        group = np.repeat(np.arange(len(self._groups)), [group.stop - group.start for group in self._groups])
        return group[:, np.newaxis] >= group

    def _sampled(self, natural: NDArray, shape: tuple[int, ...], noise: Noise) -> NDArray:
        """Return units drawn independently of each other."""
        out = self._scratch("sample", shape)
        return self._family.sample(self.params, natural, noise, out, self._backend)

    def _scratch(self, role: str, shape: tuple[int, ...]) -> NDArray:
        return self._backend.empty((self._name, role), (*shape, self.n_units), self._dtype)


def _blocks(groups: list[Group]) -> Iterator[list[tuple[int, Group]]]:
    """Yield consecutive groups with their numbers, about `BLOCK_SIZE` units at a time."""
    block: list[tuple[int, Group]] = []
    for numbered in enumerate(groups):
        block.append(numbered)
        if numbered[1].stop - block[0][1].start >= BLOCK_SIZE:
            yield block
            block = []
    if block:
        yield block
