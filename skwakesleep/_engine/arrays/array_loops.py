"""The hot loops as passes of NumPy over whole arrays."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skwakesleep._engine.arrays.numerics import row_sums


def multiply(left: NDArray, right: NDArray, out: NDArray) -> NDArray:
    """Write the product ``left (..., N) @ right (N, M)`` into `out`; `left` may be a sparse matrix."""
    if sparse.issparse(left):
        out[...] = left @ right
        return out
    return np.matmul(left, right, out=out)


def softplus_sums(natural: NDArray, mean: NDArray | None, scratch: NDArray) -> NDArray:
    """Return ``sum(log(1 + exp(natural)))`` along the last axis, and write ``sigmoid(natural)`` into `mean`.

    `mean` may be `natural` itself, or None where it is not wanted; `scratch`, of the same shape, is overwritten.
    """
    # softplus(s) = max(s - c, 0) + log(1 + exp(min(s, c))), to rounding where exp(-c) is less than the last digit.
    largest = -np.log(np.finfo(natural.dtype).eps)
    odds = scratch if mean is None else mean
    beyond = natural.max() > largest
    if beyond:
        excess = row_sums(np.maximum(np.subtract(natural, largest, out=scratch), 0, out=scratch))
        natural = np.minimum(natural, largest, out=odds)
    np.exp(natural, out=odds)
    np.add(odds, 1, out=scratch)
    if mean is not None:
        np.divide(odds, scratch, out=mean)
    softplus = row_sums(np.log(scratch, out=scratch))
    return softplus + excess if beyond else softplus


def adam(
    parameters: NDArray,
    gradient: NDArray,
    first: NDArray,
    second: NDArray,
    scales: NDArray,
    decay_1: float,
    decay_2: float,
    step: float,
    epsilon: float,
) -> None:
    """Let the moments, decaying sums of gradients and of their squares, take in a gradient; then make a step.

    What is added to the parameters is ``step * scales * first / (sqrt(second) + epsilon)``. Numbers are of the dtype of
    the arrays. The gradient may be overwritten.
    """
    first *= decay_1
    first += gradient
    second *= decay_2
    np.square(gradient, out=gradient)
    second += gradient
    change = np.sqrt(second, out=gradient)
    change += epsilon
    np.divide(first, change, out=change)
    change *= step
    change *= scales
    parameters += change


def uniforms(words: NDArray, out: NDArray) -> None:
    """Write a uniform on [0, 1) for each 16 bits of the random `words`: the middle of one of 2^16 intervals."""
    np.add(words.view(np.uint16)[: out.size], out.dtype.type(0.5), out=out)
    out *= 2.0**-16
