"""Scratch arrays and hot loops with NumPy alone."""

from math import prod
from typing import Self

import numpy as np
from numpy.typing import NDArray

from skwakesleep._engine.arrays import numerics
from skwakesleep._engine.arrays.workspace import Workspace


class NumpyBackend(Workspace):
    """Scratch arrays, and the operations that take most of the time.

    A backend is handed to whatever computes and belongs to one thread. Other backends override the operations.

    Parameters
    ----------
    by_row : bool, default=False
        Whether each row of the data has matrix products of its own, always of the same shape, so that rounding does not
        depend on the other rows. Slower; used for scores.
    """

    def __init__(self, *, by_row: bool = False) -> None:
        super().__init__()
        self._by_row = by_row

    def new(self, *, by_row: bool = False) -> Self:
        """Return a backend of the same kind with scratch arrays of its own."""
        return type(self)(by_row=by_row)

    def matmul(self, left: NDArray, right: NDArray, out: NDArray, bias: NDArray | None = None) -> NDArray:
        """Write ``left (..., N) @ right (N, M) + bias`` into `out`; `left` may be a sparse matrix."""
        if not isinstance(left, np.ndarray):
            matrix_rows(out)[...] = left @ right
        elif self._by_row or left.ndim == 2:
            np.matmul(left, right, out=out)
        else:
            np.matmul(matrix_rows(left), right, out=matrix_rows(out))
        if bias is not None:
            out += bias
        return out

    def sigmoid(self, logits: NDArray, out: NDArray) -> NDArray:
        """Write ``1 / (1 + exp(-logits))`` into `out`."""
        return numerics.sigmoid(logits, out)

    def softplus_sums(self, natural: NDArray, mean: NDArray | None) -> NDArray:
        """Return ``sum(log(1 + exp(natural)))`` along the last axis, and write ``sigmoid(natural)`` into `mean`.

        `mean` may be `natural` itself, or None if it is not needed.
        """
        # softplus(s) = max(s - c, 0) + log(1 + exp(min(s, c))), exact to rounding if exp(-c) is below the last digit.
        largest = -np.log(np.finfo(natural.dtype).eps)
        scratch = self.empty("softplus", natural.shape, natural.dtype)
        odds = scratch if mean is None else mean
        beyond = natural.max() > largest
        if beyond:
            excess = numerics.row_sums(np.maximum(np.subtract(natural, largest, out=scratch), 0, out=scratch))
            natural = np.minimum(natural, largest, out=odds)
        np.exp(natural, out=odds)
        np.add(odds, 1, out=scratch)
        if mean is not None:
            np.divide(odds, scratch, out=mean)
        softplus = numerics.row_sums(np.log(scratch, out=scratch))
        return softplus + excess if beyond else softplus

    def bernoulli(self, logits: NDArray, units: NDArray, residual: NDArray) -> NDArray:
        """Return the log-probability of binary units ``(B, K, N)``, ``(B, K)``, and write its gradient into `residual`.

        This is ``units - sigmoid(logits)``. The first two axes broadcast; `residual` may be `logits`.
        """
        unnormalized = numerics.inner(units, logits)
        mean = residual if residual.shape == logits.shape else self.empty("mean", logits.shape, logits.dtype)
        log_normalizer = self.softplus_sums(logits, mean)
        np.subtract(units, mean, out=residual)
        return unnormalized - log_normalizer

    def binary_in_turn(self, logits: NDArray, triangle: NDArray, thresholds: NDArray, units: NDArray) -> bool:
        """Draw autoregressive binary units: one where `logits` plus the effects of those before it exceed a threshold.

        Returns false if the backend has no loop for this: matrix products are then faster.
        """
        return False

    def outer_sums(self, units: NDArray, residual: NDArray, weights: NDArray | None, out: NDArray) -> NDArray:
        """Write ``sum(weights * outer(units, residual))`` over rows ``(n, N)``, ``(n, M)`` into `out (N, M)`.

        Weights are one by default. The units may be a sparse matrix without weights.
        """
        if weights is None:
            return self.matmul(units.T, residual, out)
        index = np.flatnonzero(weights)
        if len(index) < len(weights):  # fewer rows to multiply
            units, residual = self._taken("units", units, index), self._taken("residual", residual, index)
            weights = weights[index]
        weighted = self.empty("weighted units", units.shape, units.dtype)  # there are mostly fewer units than residuals
        np.multiply(units, weights[:, np.newaxis], out=weighted)
        return self.matmul(weighted.T, residual, out)

    def _taken(self, name: str, rows: NDArray, index: NDArray) -> NDArray:
        room = self.empty(("taken", name), rows.shape, rows.dtype)
        return rows.take(index, axis=0, out=room[: len(index)], mode="clip")  # "raise" would buffer

    def weighted_sums(self, rows: NDArray, weights: NDArray, out: NDArray) -> NDArray:
        """Write ``sum(weights * rows)`` over particles into `out (B, N)`; rows are ``(B, K, N)``."""
        return np.einsum("bk,bkn->bn", weights, rows, out=out)

    def blend(self, keep: float, array: NDArray, share: float, other: NDArray) -> None:
        """Change a vector to ``keep * array + share * other``."""
        if keep != 1:
            array *= keep
        array += np.multiply(other, share, out=self.empty("blend", other.shape, other.dtype))

    def adam(
        self,
        parameters: NDArray,
        gradient: NDArray,
        first: NDArray,
        second: NDArray,
        scales: NDArray,
        strengths: NDArray | None,
        decay_1: float,
        decay_2: float,
        step: float,
        mean: float,
        square: float,
        least: float,
        share: float,
        information: float,
    ) -> None:
        """Update the moments, decaying sums of gradients and of their squares, and make a step.

        The step is ``step * scales * (mean * first - pull) / sqrt(square * second + pull ** 2 + least)``. The pull of
        the prior is ``share * strengths * w * i / (1 + i * w ** 2)`` with ``i = 1 + information * second``. The
        gradient may be overwritten.
        """
        scratch = self.empty("adam", parameters.shape, parameters.dtype)
        first *= decay_1
        first += gradient
        second *= decay_2
        second += np.square(gradient, out=scratch)
        change = np.multiply(first, mean, out=gradient)
        size = np.multiply(second, square, out=self.empty("size", parameters.shape, parameters.dtype))
        if strengths is not None:
            pull = self.pull(parameters, second, strengths, information, scratch)
            pull *= share
            change -= pull
            size += np.square(pull, out=pull)
        size += least
        change /= np.sqrt(size, out=size)
        change *= step
        change *= scales
        parameters += change

    def pull(
        self, parameters: NDArray, second: NDArray, strengths: NDArray, information: float, out: NDArray
    ) -> NDArray:
        """Write the pull of the prior, at its full strength, into `out`; see `adam`."""
        with np.errstate(over="ignore", invalid="ignore"):  # of parameters that diverge
            weighted = np.multiply(second, information, out=out)
            weighted += 1
            weighted *= parameters
            divisor = np.multiply(weighted, parameters, out=self.empty("divisor", parameters.shape, parameters.dtype))
            divisor += 1
            weighted /= divisor
            weighted *= strengths
        return weighted

    def uniforms(self, words: NDArray, out: NDArray) -> None:
        """Write a uniform on [0, 1) for each 16 bits of the random `words`: the middle of one of 2^16 intervals."""
        np.add(words.view(np.uint16)[: out.size], out.dtype.type(0.5), out=out)
        out *= 2.0**-16

    def binary_units(self, words: NDArray, logits: NDArray, out: NDArray) -> None:
        """Draw binary units ``(B, K, N)``: one where the uniform of `uniforms` is below ``sigmoid(logits)``."""
        uniforms = self.empty("uniforms", out.shape, out.dtype)
        self.uniforms(words, uniforms.reshape(-1))
        chances = self.sigmoid(logits, self.empty("chances", logits.shape, logits.dtype))
        np.less(uniforms, chances, out=out)


def matrix_rows(array: NDArray) -> NDArray:
    """View an array as a matrix whose rows are the vectors along the last axis."""
    return array if array.ndim == 2 else array.reshape(prod(array.shape[:-1]), array.shape[-1])
