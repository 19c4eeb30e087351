"""A layer: an affine map of the parent units feeding a family."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skwakesleep._engine.families import Family
from skwakesleep._engine.parameters import Shapes, Views
from skwakesleep._engine.random import Noise
from skwakesleep._engine.workspace import Workspace


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
        natural = self.natural(theta, parent, workspace)
        return self._mean(natural, workspace)

    def log_prob(self, theta: Views, parent: NDArray | None, target: NDArray, workspace: Workspace) -> NDArray:
        """Return the log-probability of `target` given the parents, in nats."""
        natural = self.natural(theta, parent, workspace)
        return self.family.log_prob(theta, natural, self._mean(natural, workspace), target, workspace)

    def sample(
        self, theta: Views, parent: NDArray | None, shape: tuple[int, ...], noise: Noise, workspace: Workspace
    ) -> NDArray:
        """Draw ``(*shape, n_units)`` units given the parents."""
        mean = self.mean(theta, parent, workspace)
        return self.family.sample(theta, mean, noise, self._scratch("sample", shape, workspace, mean.dtype))

    def draw(
        self, theta: Views, parent: NDArray | None, shape: tuple[int, ...], noise: Noise, workspace: Workspace
    ) -> Activation:
        """Sample the units and evaluate them, computing their means once."""
        natural = self.natural(theta, parent, workspace)
        mean = self._mean(natural, workspace)
        target = self.family.sample(theta, mean, noise, self._scratch("sample", shape, workspace, mean.dtype))
        return self._activation(theta, parent, natural, mean, target, workspace)

    def evaluate(self, theta: Views, parent: NDArray | None, target: NDArray, workspace: Workspace) -> Activation:
        """Evaluate given units."""
        natural = self.natural(theta, parent, workspace)
        return self._activation(theta, parent, natural, self._mean(natural, workspace), target, workspace)

    def gradient(self, theta: Views, activation: Activation, weights: NDArray, grad: Views) -> None:
        """Write the gradient of ``sum(weights * log_prob)`` into `grad`; the residual is overwritten.

        Where the parents are the same for all particles of a row, only the sum over particles meets them.
        """
        parent, residual = activation.parent, activation.residual
        self.family.gradient(theta, residual, weights, grad)
        residual *= weights[..., np.newaxis]
        if parent is not None:
            if parent.ndim < residual.ndim:
                residual = residual.sum(axis=0)
            np.matmul(_rows(parent).T, _rows(residual), out=grad["weights"])
        np.sum(_rows(residual), axis=0, out=grad["intercept"])

    def _activation(
        self,
        theta: Views,
        parent: NDArray | None,
        natural: NDArray,
        mean: NDArray,
        target: NDArray,
        workspace: Workspace,
    ) -> Activation:
        log_prob = self.family.log_prob(theta, natural, mean, target, workspace)
        shape = np.broadcast_shapes(mean.shape, target.shape)[:-1]
        residual = self.family.residual(theta, mean, target, self._scratch("residual", shape, workspace, mean.dtype))
        return Activation(parent, target, log_prob, residual)

    def _mean(self, natural: NDArray, workspace: Workspace) -> NDArray:
        return self.family.mean(natural, self._scratch("mean", natural.shape[:-1], workspace, natural.dtype))

    def _scratch(self, role: str, shape: tuple[int, ...], workspace: Workspace, dtype: np.dtype) -> NDArray:
        return workspace.array((self.name, role), (*shape, self.n_units), dtype)


def _rows(array: NDArray) -> NDArray:
    """View an array with leading axes as a matrix, one row for each particle of each row."""
    return array.reshape(-1, array.shape[-1])
