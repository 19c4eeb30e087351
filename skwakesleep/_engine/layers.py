"""A layer: an affine map of the parent units feeding a family."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skwakesleep._engine.families import Family
from skwakesleep._engine.parameters import Shapes, Views
from skwakesleep._engine.random import Noise
from skwakesleep._engine.workspace import Workspace

# Half a megabyte in float32: with a companion or two, what a core's own cache holds.
CACHED = 2**17


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
    """Units that are independent given their parents, with natural parameters ``parent @ weights + intercept``.

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
    """

    def __init__(self, name: str, family: Family, n_parents: int, n_units: int) -> None:
        self.name = name
        self.family = family
        self.n_parents = n_parents
        self.n_units = n_units

    def shapes(self) -> Shapes:
        """Return the shapes of the parameters, by name."""
        weights: Shapes = {"weights": (self.n_parents, self.n_units)} if self.n_parents else {}
        return {**weights, "intercept": (self.n_units,), **self.family.shapes(self.n_units)}

    def natural(self, theta: Views, parent: NDArray | None, workspace: Workspace) -> NDArray:
        """Return the natural parameters given the parents; a prior's are its intercept."""
        if parent is None:
            return theta["intercept"]
        natural = self._scratch("natural", parent.shape[:-1], workspace, parent.dtype)
        np.matmul(_rows(parent), theta["weights"], out=_rows(natural))
        natural += theta["intercept"]
        return natural

    def mean(self, theta: Views, parent: NDArray | None, workspace: Workspace) -> NDArray:
        """Return the expected units given the parents."""
        return self._mean(self.natural(theta, parent, workspace), workspace)

    def sample(
        self, theta: Views, parent: NDArray | None, shape: tuple[int, ...], noise: Noise, workspace: Workspace
    ) -> NDArray:
        """Draw ``(*shape, n_units)`` units given the parents."""
        mean = self.mean(theta, parent, workspace)
        return self.family.sample(theta, mean, noise, self._scratch("sample", shape, workspace, mean.dtype))

    def log_prob(self, theta: Views, parent: NDArray | None, target: NDArray, workspace: Workspace) -> NDArray:
        """Return the log-probability of `target` given the parents, in nats."""
        parts = [
            self.family.log_prob(theta, natural, self._mean(natural, workspace), part, workspace)
            for natural, part, _ in self._blocks(theta, parent, target, workspace)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def draw(
        self, theta: Views, parent: NDArray | None, shape: tuple[int, ...], noise: Noise, workspace: Workspace
    ) -> Activation:
        """Sample the units and evaluate them, computing their means once."""
        natural = self.natural(theta, parent, workspace)
        mean = self._mean(natural, workspace)
        target = self.family.sample(theta, mean, noise, self._scratch("sample", shape, workspace, mean.dtype))
        residual = self._scratch("residual", shape, workspace, mean.dtype)
        log_prob = self.family.log_prob(theta, natural, mean, target, workspace)
        return Activation(parent, target, log_prob, self.family.residual(theta, mean, target, residual))

    def evaluate(self, theta: Views, parent: NDArray | None, target: NDArray, workspace: Workspace) -> Activation:
        """Evaluate given units."""
        shape = target.shape[:-1] if parent is None else np.broadcast_shapes(parent.shape[:-1], target.shape[:-1])
        residual = self._scratch("residual", shape, workspace, target.dtype)
        log_prob = workspace.array((self.name, "log_prob"), shape, target.dtype)
        for natural, part, block in self._blocks(theta, parent, target, workspace):
            mean = self._mean(natural, workspace)
            log_prob[block] = self.family.log_prob(theta, natural, mean, part, workspace)
            self.family.residual(theta, mean, part, residual[block])
        return Activation(parent, target, log_prob, residual)

    def gradient(
        self, theta: Views, activation: Activation, weights: NDArray, grad: Views, workspace: Workspace
    ) -> None:
        """Write the gradient of ``sum(weights * log_prob)`` into `grad`."""
        parent, residual = activation.parent, activation.residual
        self.family.gradient(theta, residual, weights, grad)
        np.matmul(weights.reshape(-1), _rows(residual), out=grad["intercept"])
        if parent is None:
            return
        if parent.ndim == residual.ndim:  # cheaper to weight than the residuals, there being fewer parents than units
            weighted = workspace.array((self.name, "parent"), parent.shape, parent.dtype)
            np.multiply(parent, weights[..., np.newaxis], out=weighted)
            np.matmul(_rows(weighted).T, _rows(residual), out=grad["weights"])
        else:  # the parents are the same for all particles: only the sum over particles meets them
            np.matmul(parent.T, np.einsum("kb,kbd->bd", weights, residual), out=grad["weights"])

    def _blocks(
        self, theta: Views, parent: NDArray | None, target: NDArray, workspace: Workspace
    ) -> Iterator[tuple[NDArray, NDArray, slice]]:
        """Yield natural parameters, the targets that belong to them, and where they are, a few particles at a time.

        All that is computed from a block of `CACHED` numbers finds it in the processor's cache.
        """
        if parent is None or parent.ndim < target.ndim:
            yield self.natural(theta, parent, workspace), target, slice(None)
            return
        step = max(1, CACHED * len(parent) // (parent[..., 0].size * self.n_units))
        for start in range(0, len(parent), step):
            block = slice(start, start + step)
            part = target[block] if target.ndim == parent.ndim else target
            yield self.natural(theta, parent[block], workspace), part, block

    def _mean(self, natural: NDArray, workspace: Workspace) -> NDArray:
        return self.family.mean(natural, self._scratch("mean", natural.shape[:-1], workspace, natural.dtype))

    def _scratch(self, role: str, shape: tuple[int, ...], workspace: Workspace, dtype: np.dtype) -> NDArray:
        return workspace.array((self.name, role), (*shape, self.n_units), dtype)


def _rows(array: NDArray) -> NDArray:
    """View an array with leading axes as a matrix, one row for each particle of each row."""
    return array.reshape(-1, array.shape[-1])
