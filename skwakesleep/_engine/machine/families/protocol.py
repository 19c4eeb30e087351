"""What a layer needs of the distribution of its units."""

from typing import Any, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from skwakesleep._engine.arrays.numpy_backend import NumpyBackend
from skwakesleep._engine.arrays.random import Noise
from skwakesleep._engine.machine.predictions import Prediction
from skwakesleep._engine.training.layout import Shapes, Views


class Domain(NamedTuple):
    """The interval of admissible values, bounds included."""

    lowest: float
    highest: float

    @property
    def is_bounded(self) -> bool:
        """Whether there is a bound at all."""
        return bool(np.isfinite(self).any())


class Group(NamedTuple):
    """Units that are drawn together, the first of them `start`, the last before `stop`, with their own family."""

    family: "Family"
    start: int
    stop: int


def single_units(family: "Family", n_units: int) -> list[Group]:
    """Return a group for each unit."""
    return [Group(family, unit, unit + 1) for unit in range(n_units)]


class Family(Protocol):
    """Distribution of units given their natural parameters.

    All families share one gradient with respect to the natural parameters: the residual, target minus mean up to a
    precision. Arrays have the shape ``(B, K, N)``: rows, particles, units. The first two axes broadcast.
    """

    @property
    def neutral(self) -> Any:
        """Natural parameter of a missing unit: a number, or one for each unit.

        With the target zero, both log-probability and residual then are zero.
        """

    is_binary: bool
    """Whether the units are binary with logits as natural parameters: the backend evaluates and draws such layers."""

    uses_natural: bool
    """Whether `gradient` uses natural parameters and targets; otherwise it gets None and any targets."""

    def shapes(self, n_units: int) -> Shapes:
        """Return the shapes of parameters other than weights and intercept."""

    def initial(self, means: NDArray) -> Views:
        """Return the parameters of a layer without weights whose units have the given means, ``(N,)``."""

    def mean(self, natural: NDArray, out: NDArray, backend: NumpyBackend) -> NDArray:
        """Write the expected values of the units into `out`, which may be `natural`."""

    def sample(self, params: Views, natural: NDArray, noise: Noise, out: NDArray, backend: NumpyBackend) -> NDArray:
        """Draw units into `out`, given their natural parameters."""

    def thresholds(self, params: Views, noise: Noise, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray:
        """Draw the random part of units of a shape, before their natural parameters are known: one number per group."""

    def decide(self, natural: NDArray, thresholds: NDArray, out: NDArray) -> NDArray:
        """Write units made of natural parameters and thresholds into `out`; the distribution is that of `sample`."""

    def groups(self, n_units: int) -> list[Group]:
        """Return the groups of units that an autoregressive layer draws one after the other."""

    def unnormalized_log_prob(self, params: Views, natural: NDArray, target: NDArray, backend: NumpyBackend) -> NDArray:
        """Return the log-probability of `target` plus its log-normalizer, summed over units, ``(B, K)``, in nats."""

    def log_normalizer(
        self,
        params: Views,
        natural: NDArray,
        mean: NDArray | None,
        backend: NumpyBackend,
        missing: NDArray | None = None,
    ) -> NDArray | float:
        """Return the log-normalizer, summed over units, in nats.

        The expected units are written into `mean`, which may be `natural`; None if they are not needed. Units that are
        `missing`, a mask that broadcasts, have neutral natural parameters and do not count.
        """

    def residual(self, params: Views, mean: NDArray, target: NDArray, out: NDArray) -> NDArray:
        """Write the gradient of the log-probability with respect to the natural parameters into `out`."""

    def curvature(self, params: Views, mean: NDArray) -> NDArray:
        """Return the negative derivative of the residual with respect to the natural parameters."""

    def gradient(
        self,
        params: Views,
        natural: NDArray | None,
        target: NDArray,
        residual: NDArray,
        weights: NDArray,
        grad: Views,
        missing: NDArray | None = None,
    ) -> None:
        """Write the weighted gradient with respect to the parameters of `shapes` into `grad`.

        Arrays broadcast against weights of shape ``(B, K)``, or ``(n,)`` for some of the particles. Units that are
        `missing` do not count; their residuals are zero.
        """

    def intercept_pull(self, intercept: NDArray) -> NDArray | None:
        """Return the gradient of the log-prior of the intercepts, with the weight of one row; None for no prior."""

    def damping(self, params: Views) -> NDArray | None:
        """Return factors, one for each unit, of the steps of its weights and intercept; None for no damping."""


class ColumnFamily(Family, Protocol):
    """A family that columns of the user's table can have."""

    natural_unit: str
    """Unit of the natural parameters, for axis labels."""

    def predict(self, codec: Any, params: Views, weights: NDArray, natural: NDArray) -> Prediction:
        """Return the mixture, with weights ``(B, K)``, of the distributions of the columns given natural parameters."""

    @classmethod
    def of_codec(cls, codec: Any) -> Self:
        """Return the family of the units that a codec makes of columns."""


class ScaleFamily(ColumnFamily, Protocol):
    """A family of real units, which stay in the family when they are shifted and rescaled."""

    def variance(self, params: Views) -> NDArray:
        """Return the variance of each unit given its natural parameter."""

    def set_variance(self, params: Views, variance: NDArray) -> None:
        """Change the parameters so that units have the given variance, or the least possible one."""
