"""The hot loops compiled by Numba: each element is read and written once, not once for each operation.

Results agree with NumPy's to rounding. Exponentials and logarithms in double precision, which scores are computed in,
are left to NumPy.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit
from numpy.polynomial import Chebyshev, Polynomial
from numpy.typing import NDArray

from skwakesleep._engine.arrays.numpy_backend import NumpyBackend, matrix_rows

# Vector instructions need sums in any order and fused multiply-add. Infinities and NaN keep their meaning, since a
# diverging training is recognized by them.
OPTIONS = {"nogil": True, "error_model": "numpy", "fastmath": {"reassoc", "contract", "nsz"}}


def compiled(*signatures: str) -> Callable[[Callable], Any]:
    """Return a decorator that compiles a function for the types of its arguments, or loads it from Numba's cache.

    All this happens when the module is imported, so that a cache that cannot be read or written is noticed here.
    """

    def decorate(function: Callable) -> Any:
        try:
            return njit(list(signatures), cache=True, **OPTIONS)(function)
        except (
            Exception
        ):  # no folder to write to, a full disk, a damaged file: errors of Numba, of the system, of pickle
            return njit(list(signatures), **OPTIONS)(function)

    return decorate


ZERO, HALF, ONE, LOG2_E = (np.float32(number) for number in (0, 0.5, 1, 1 / np.log(2)))
WORD_WIDTH = np.float32(2.0**-16)  # of the interval that each value of a random 16-bit word stands for
# The exponent in the bits of a float32.
LEAST_EXPONENT = np.float32(-126)
EXPONENT_BIAS, EXPONENT_PLACE = np.int32(127), np.int32(23)

# Products skip zeros if at most this share of the left matrix is nonzero and the right one has at least this number of
# columns; otherwise the linear algebra library is faster.
MAX_NONZERO_SHARE, MIN_COLUMNS = 0.3, 64
# Rows copied at a time from a matrix that is not stored by rows.
COPIED_ROWS = 16


@compiled("int64(float32[:, ::1])")
def _count_nonzero(matrix: NDArray) -> int:
    count = 0
    for row in range(matrix.shape[0]):
        for column in range(matrix.shape[1]):
            count += matrix[row, column] != 0
    return count


@compiled(
    "void(float32[:, ::1], float32[:, ::1], float32[:, ::1])", "void(float64[:, ::1], float64[:, ::1], float64[:, ::1])"
)
def _multiply(left: NDArray, right: NDArray, out: NDArray) -> None:
    """Write the product into `out`: the rows of `right` that do not meet zeros, added up four at a time."""
    n_rows, n_inner = left.shape
    n_columns = right.shape[1]
    used = np.empty(n_inner, np.int64)
    for row in range(n_rows):
        n_used = 0
        for inner in range(n_inner):
            used[n_used] = inner
            n_used += left[row, inner] != 0
        out[row] = 0
        n_fours = n_used - n_used % 4
        for k in range(0, n_fours, 4):
            a, b, c, d = used[k], used[k + 1], used[k + 2], used[k + 3]
            by_a, by_b, by_c, by_d = left[row, a], left[row, b], left[row, c], left[row, d]
            for j in range(n_columns):
                out[row, j] += by_a * right[a, j] + by_b * right[b, j] + by_c * right[c, j] + by_d * right[d, j]
        for k in range(n_fours, n_used):
            a = used[k]
            for j in range(n_columns):
                out[row, j] += left[row, a] * right[a, j]


@compiled(
    "void(float32[:, :], float32[:, ::1], float32[:, ::1])", "void(float64[:, :], float64[:, ::1], float64[:, ::1])"
)
def _multiply_rearranged(left: NDArray, right: NDArray, out: NDArray) -> None:
    """As `_multiply`, for a matrix that is stored otherwise than by rows."""
    n_rows, n_inner = left.shape
    copied = np.empty((COPIED_ROWS, n_inner), left.dtype)
    for start in range(0, n_rows, COPIED_ROWS):
        stop = min(start + COPIED_ROWS, n_rows)
        copied[: stop - start] = left[start:stop]
        _multiply(copied[: stop - start], right, out[start:stop])


def _polynomial(
    function: np.ufunc, degree: int, domain: tuple[float, float]
) -> tuple[np.float32, tuple[np.float32, ...]]:
    """Return the polynomial that equals a function at Chebyshev's nodes: its leading coefficient, and the others."""
    interpolated = Chebyshev.interpolate(function, degree, domain=domain).convert(kind=Polynomial)
    leading, *others = (np.float32(coefficient) for coefficient in interpolated.coef[::-1])
    return leading, tuple(others)


# Of as many degrees as it takes to be right to the last digit of single precision.
EXP2_LEADING, EXP2 = _polynomial(np.exp2, 6, (-0.5, 0.5))
LOG1P_LEADING, LOG1P = _polynomial(np.log1p, 9, (0, 1))


@compiled("void(float32[:, ::1], float32[::1])")
def _softplus_sums(natural: NDArray, sums: NDArray) -> None:
    """Write the sums for rows of natural parameters, and replace these by means."""
    n_rows, n_units = natural.shape
    for row in range(n_rows):
        total = ZERO
        for unit in range(n_units):
            s = natural[row, unit]
            # exp(-|s|) = 2^whole 2^fraction: the bits of an exponent, times a polynomial.
            exponent = max(-abs(s) * LOG2_E, LEAST_EXPONENT)
            whole = np.floor(exponent + HALF)
            fraction = exponent - whole
            power = EXP2_LEADING
            for coefficient in EXP2:
                power = power * fraction + coefficient
            odds = power * np.int32((np.int32(whole) + EXPONENT_BIAS) << EXPONENT_PLACE).view(np.float32)
            # softplus(s) = max(s, 0) + log(1 + exp(-|s|))
            log1p = LOG1P_LEADING
            for coefficient in LOG1P:
                log1p = log1p * odds + coefficient
            total += max(s, ZERO) + log1p
            natural[row, unit] = (ONE if s >= ZERO else odds) / (ONE + odds)
        sums[row] = total


# One argument for each array: Numba cannot rule out that arrays in a tuple overlap, and is three times slower.
@compiled(
    "void(float32[::1], float32[::1], float32[::1], float32[::1], float32[::1], float32, float32, float32, float32)"
)
def _adam(
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
    for i in range(parameters.size):
        first[i] = decay_1 * first[i] + gradient[i]
        second[i] = decay_2 * second[i] + gradient[i] * gradient[i]
        parameters[i] += step * scales[i] * (first[i] / (np.sqrt(second[i]) + epsilon))


@compiled("void(uint16[::1], float32[::1])")
def _uniforms(words: NDArray, out: NDArray) -> None:
    for i in range(out.size):
        out[i] = (np.float32(words[i]) + HALF) * WORD_WIDTH


class NumbaBackend(NumpyBackend):
    """Scratch arrays, and hot loops compiled by Numba.

    Arrays that the compiled functions do not take, of other dtypes or not in C order, are left to NumPy.
    """

    def matmul(self, left: NDArray, right: NDArray, out: NDArray) -> NDArray:
        if out.shape[-1] < MIN_COLUMNS or not isinstance(left, np.ndarray):
            return super().matmul(left, right, out)
        rows = matrix_rows(left)
        if not (rows.flags.c_contiguous or rows.flags.f_contiguous):
            return super().matmul(left, right, out)
        # The choice depends on all rows. In double precision, in which scores are computed, it is always the same.
        if out.dtype == np.float32 and _count_nonzero(rows if rows.flags.c_contiguous else rows.T) > (
            MAX_NONZERO_SHARE * rows.size
        ):
            return super().matmul(left, right, out)
        multiply = _multiply if rows.flags.c_contiguous else _multiply_rearranged
        multiply(rows, right, matrix_rows(out))
        return out

    def softplus_sums(self, natural: NDArray, mean: NDArray | None) -> NDArray:
        if natural.dtype != np.float32:
            return super().softplus_sums(natural, mean)
        copied = mean if mean is not None and mean.flags.c_contiguous else self.empty("softplus", natural.shape, "f4")
        if copied is not natural:
            np.copyto(copied, natural)
        sums = np.empty(natural.shape[:-1], np.float32)
        _softplus_sums(matrix_rows(copied), sums.reshape(-1))
        if mean is not None and mean is not copied:
            np.copyto(mean, copied)
        return sums

    def adam(
        self,
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
        adam = _adam if parameters.dtype == np.float32 else super().adam
        adam(parameters, gradient, first, second, scales, decay_1, decay_2, step, epsilon)

    def uniforms(self, words: NDArray, out: NDArray) -> None:
        if out.dtype != np.float32:
            return super().uniforms(words, out)
        return _uniforms(words.view(np.uint16), out)
