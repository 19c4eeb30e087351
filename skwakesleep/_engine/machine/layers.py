"""A layer: an affine map of the parent units feeding a family."""

from collections.abc import Callable
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skwakesleep._engine.arrays.caching import cached
from skwakesleep._engine.arrays.loops import LOOPS
from skwakesleep._engine.arrays.random import Noise
from skwakesleep._engine.arrays.workspace import Workspace
from skwakesleep._engine.machine.families import Family
from skwakesleep._engine.training.layout import Shapes, Views

# Autoregressive units that are drawn before those after them are told.
HANDFUL = 32


class Activation(NamedTuple):
    """What one layer makes of its parents.

    ``target (..., n_units)`` is the state of its units, drawn or given; ``log_prob (...,)`` the log-probability of
    that state in nats; ``residual (..., n_units)`` its gradient with respect to the natural parameters.
    """

    parent: NDArray | None
    target: NDArray
    log_prob: NDArray
    residual: NDArray


class Layer:
    """Units with natural parameters ``parent @ weights + intercept``, independent given their parents.

    In an autoregressive layer (Gregor et al. 2014) each unit also sees those before it: ``target @ triangle`` is added,
    with `triangle` strictly upper triangular. Evaluating given units stays one matrix product, drawing them goes from
    unit to unit.

    A layer holds no numbers: parameters come in as views (`theta`), scratch arrays from a workspace. The same
    layer can therefore be evaluated with trained, averaged or float64 parameters.

    Parameters
    ----------
    name : str
        Where its parameters and its scratch arrays are filed.
    family : Family
        Distribution of the units.
    n_parents : int
        Width of the parent layer; zero for a prior.
    n_units : int
        Width of this layer.
    autoregressive : bool, default=False
        Whether units see those before them.
    """

    def __init__(
        self, name: str, family: Family, n_parents: int, n_units: int, *, autoregressive: bool = False
    ) -> None:
        self.autoregressive = autoregressive
        self.name = name
        self.family = family
        self.n_parents = n_parents
        self.n_units = n_units

    def shapes(self) -> Shapes:
        """Return the shapes of the parameters, by name."""
        weights: Shapes = {"weights": (self.n_parents, self.n_units)} if self.n_parents else {}
        if self.autoregressive:
            weights["triangle"] = (self.n_units, self.n_units)
        return {**weights, "intercept": (self.n_units,), **self.family.shapes(self.n_units)}

    def natural(self, theta: Views, parent: NDArray | None, workspace: Workspace) -> NDArray:
        """Return the natural parameters given the parents, free to be overwritten; a prior's are its intercept."""
        shape = () if parent is None else parent.shape[:-1]
        natural = self._scratch("natural", shape, workspace, theta["intercept"].dtype)
        if parent is None:
            np.copyto(natural, theta["intercept"])
            return natural
        LOOPS.multiply(_rows(parent), theta["weights"], out=_rows(natural))
        natural += theta["intercept"]
        return natural

    def mean(self, theta: Views, parent: NDArray | None, workspace: Workspace) -> NDArray:
        """Return the expected units given the parents; in an autoregressive layer, given the means of those before."""
        natural = self.natural(theta, parent, workspace)
        if not self.autoregressive:
            return self.family.mean(natural, natural)
        return self._in_turn(
            theta, natural, natural.shape[:-1], lambda unit, s, out: np.copyto(out, self.family.mean(s, out)), workspace
        )

    def sample(
        self, theta: Views, parent: NDArray | None, shape: tuple[int, ...], noise: Noise, workspace: Workspace
    ) -> NDArray:
        """Draw ``(*shape, n_units)`` units given the parents."""
        natural = self.natural(theta, parent, workspace)
        if self.autoregressive:
            thresholds = self.family.thresholds(theta, noise, (*shape, self.n_units), natural.dtype)
            by_unit = np.ascontiguousarray(_rows(thresholds).T)
            return self._in_turn(
                theta, natural, shape, lambda unit, s, out: self.family.decide(s, by_unit[unit], out), workspace
            )
        sample = self._scratch("sample", shape, workspace, natural.dtype)
        return self.family.sample(theta, self.family.mean(natural, natural), noise, sample)

    def log_prob(self, theta: Views, parent: NDArray | None, target: NDArray, workspace: Workspace) -> NDArray:
        """Return the log-probability of `target` given the parents, in nats."""
        natural = self._natural_of(theta, parent, target, workspace)
        unnormalized_log_prob = self.family.unnormalized_log_prob(theta, natural, target, workspace)
        return unnormalized_log_prob - self.family.log_normalizer(theta, natural, None, workspace)

    def draw(
        self, theta: Views, parent: NDArray | None, shape: tuple[int, ...], noise: Noise, workspace: Workspace
    ) -> Activation:
        """Sample the units and evaluate them, computing their means once where that can be."""
        if self.autoregressive:
            return self.evaluate(theta, parent, self.sample(theta, parent, shape, noise, workspace), workspace)
        natural = self.natural(theta, parent, workspace)
        mean = self._scratch("mean", natural.shape[:-1], workspace, natural.dtype)
        log_normalizer = self.family.log_normalizer(theta, natural, mean, workspace)
        target = self.family.sample(theta, mean, noise, self._scratch("sample", shape, workspace, mean.dtype))
        log_prob = self.family.unnormalized_log_prob(theta, natural, target, workspace) - log_normalizer
        return Activation(parent, target, log_prob, self._residual(theta, mean, target, workspace))

    def evaluate(self, theta: Views, parent: NDArray | None, target: NDArray, workspace: Workspace) -> Activation:
        """Evaluate given units."""
        natural = self._natural_of(theta, parent, target, workspace)
        log_prob = self.family.unnormalized_log_prob(theta, natural, target, workspace)
        # Natural parameters, means and residuals take each other's place: the cache would not hold them all.
        log_prob = log_prob - self.family.log_normalizer(theta, natural, natural, workspace)
        return Activation(parent, target, log_prob, self._residual(theta, natural, target, workspace))

    def gradient(
        self, theta: Views, activation: Activation, weights: NDArray, grad: Views, workspace: Workspace
    ) -> None:
        """Write the gradient of ``sum(weights * log_prob)`` into `grad`."""
        activation, weights = self._used(activation, weights, workspace)
        parent, residual = activation.parent, activation.residual
        self.family.gradient(theta, residual, weights, grad)
        np.matmul(weights.reshape(-1), _rows(residual), out=grad["intercept"])
        if parent is not None:
            self._product(parent, weights, residual, grad["weights"], workspace)
        if self.autoregressive:
            self._product(activation.target, weights, residual, grad["triangle"], workspace)
            np.copyto(grad["triangle"], 0, where=_lower_triangle(self.n_units))

    def damp(self, theta: Views, factors: Views) -> bool:
        """Write the factors by which steps of the parameters are to be shortened; false if there are none."""
        damping = self.family.damping(theta)
        if damping is None:
            return False
        for name in factors.keys() & {"weights", "triangle", "intercept"}:
            factors[name][...] = damping
        return True

    def _used(self, activation: Activation, weights: NDArray, workspace: Workspace) -> tuple[Activation, NDArray]:
        """Leave out what has no weight, where that saves products."""
        used = np.nonzero(weights)
        shared = activation.parent is not None and activation.parent.ndim < activation.residual.ndim
        if shared or len(used[0]) == weights.size:
            return activation, weights
        axes = weights.ndim

        def gathered(role: str, array: NDArray) -> NDArray:
            index = np.ravel_multi_index(used[axes - array.ndim + 1 :], array.shape[:-1])
            room = workspace.array((self.name, "used", role), (weights.size, array.shape[-1]), array.dtype)
            return _rows(array).take(index, axis=0, out=room[: len(index)], mode="clip")  # "raise" would buffer

        parent = None if activation.parent is None else gathered("parent", activation.parent)
        target = gathered("target", activation.target) if self.autoregressive else activation.target
        residual = gathered("residual", activation.residual)
        return Activation(parent, target, activation.log_prob, residual), weights[used]

    def _product(
        self, parent: NDArray, weights: NDArray, residual: NDArray, out: NDArray, workspace: Workspace
    ) -> None:
        """Write ``sum(weights * outer(parent, residual))`` over rows and particles into `out`."""
        if parent.ndim == residual.ndim:  # cheaper to weight than the residuals, there being fewer parents than units
            weighted = workspace.array((self.name, "parent"), parent.shape, parent.dtype)
            np.multiply(parent, weights[..., np.newaxis], out=weighted)
            LOOPS.multiply(_rows(weighted).T, _rows(residual), out=out)
        else:  # the parents are the same for all particles: only the sum over particles meets them
            LOOPS.multiply(parent.T, np.einsum("kb,kbd->bd", weights, residual), out=out)

    def _natural_of(self, theta: Views, parent: NDArray | None, target: NDArray, workspace: Workspace) -> NDArray:
        """Return the natural parameters given the parents and, in an autoregressive layer, the units themselves."""
        natural = self.natural(theta, parent, workspace)
        if not self.autoregressive:
            return natural
        lateral = self._scratch("lateral", target.shape[:-1], workspace, target.dtype)
        LOOPS.multiply(_rows(target), theta["triangle"], out=_rows(lateral))
        shape = np.broadcast_shapes(natural.shape, lateral.shape)
        out = natural if natural.shape == shape else self._scratch("sum", shape[:-1], workspace, natural.dtype)
        return np.add(natural, lateral, out=out)

    def _residual(self, theta: Views, mean: NDArray, target: NDArray, workspace: Workspace) -> NDArray:
        """Return the gradient with respect to the natural parameters, in place of the means if it has their shape."""
        shape = np.broadcast_shapes(mean.shape, target.shape)
        out = mean if mean.shape == shape else self._scratch("residual", shape[:-1], workspace, mean.dtype)
        return self.family.residual(theta, mean, target, out)

    def _in_turn(
        self,
        theta: Views,
        natural: NDArray,
        shape: tuple[int, ...],
        choose: Callable[[int, NDArray, NDArray], object],
        workspace: Workspace,
    ) -> NDArray:
        """Return units chosen one after the other, each given its natural parameters in the light of those before it.

        Units are rows here. A unit hears those of its own handful when its turn comes, and all others are told of a
        handful at a time, as in solving a triangular system.
        """
        n_rows, triangle = prod(shape), theta["triangle"]
        pending, units, told = (
            workspace.array((self.name, role), (self.n_units, n_rows), natural.dtype)
            for role in ("pending", "units", "told")
        )
        pending.reshape(-1, *shape)[...] = np.moveaxis(np.broadcast_to(natural, (*shape, self.n_units)), -1, 0)
        for start in range(0, self.n_units, HANDFUL):
            stop = min(start + HANDFUL, self.n_units)
            heard = np.ascontiguousarray(triangle[start:stop, start:stop].T)
            for unit in range(start, stop):
                pending[unit] += np.matmul(heard[unit - start, : unit - start], units[start:unit], out=told[unit])
                choose(unit, pending[unit], units[unit])
            pending[stop:] += np.matmul(triangle[start:stop, stop:].T, units[start:stop], out=told[stop:])
        sample = self._scratch("sample", shape, workspace, natural.dtype)
        sample[...] = np.moveaxis(units.reshape(-1, *shape), 0, -1)
        return sample

    def _scratch(self, role: str, shape: tuple[int, ...], workspace: Workspace, dtype: np.dtype) -> NDArray:
        return workspace.array((self.name, role), (*shape, self.n_units), dtype)


@cached(2**23)
def _lower_triangle(n: int) -> NDArray:
    """Return where a unit would see itself or one after it."""
    return np.tri(n, dtype=bool)


def _rows(array: NDArray) -> NDArray:
    """View an array with leading axes as a matrix, one row for each particle of each row."""
    return array if array.ndim == 2 else array.reshape(-1, array.shape[-1])
