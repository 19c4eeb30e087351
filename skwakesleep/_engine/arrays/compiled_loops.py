"""The hot loops as loops, compiled by Numba: an element is read and written once, not once for each operation.

The functions are those of `array_loops`, which says what they do; results agree to rounding. Exponentials and
logarithms in double precision, of which scores are made, are left to NumPy.
"""

import numpy as np
from numba import njit
from numpy.polynomial import Chebyshev, Polynomial
from numpy.typing import NDArray
from scipy import sparse

from skwakesleep._engine.arrays import array_loops

# Sums in any order, and products fused with them, are what vector instructions take. Infinities and NaN keep their
# meaning: they tell that a training diverges.
compiled = njit(nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})

ZERO, HALF, ONE, LOG2_E = (np.float32(number) for number in (0, 0.5, 1, 1 / np.log(2)))
# Of a number's bits, those of the exponent.
LEAST_EXPONENT = np.float32(-126)
EXPONENT_BIAS, EXPONENT_PLACE = np.int32(127), np.int32(23)

# Products pass over the zeros of a matrix of which no more than this part is not zero, where the other is so wide: else
# the linear algebra library is faster. In double precision it seldom is.
SPARSE, WIDE = 0.3, 64
# Rows that are copied at a time from matrices that are not stored by rows.
FEW = 16


@compiled
def _count_nonzero(matrix: NDArray) -> int:
    count = 0
    for row in range(matrix.shape[0]):
        for column in range(matrix.shape[1]):
            count += matrix[row, column] != 0
    return count


@compiled
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


@compiled
def _multiply_rearranged(left: NDArray, right: NDArray, out: NDArray) -> None:
    """As `_multiply`, for a matrix that is stored otherwise than by rows."""
    n_rows, n_inner = left.shape
    few = np.empty((FEW, n_inner), left.dtype)
    for start in range(0, n_rows, FEW):
        stop = min(start + FEW, n_rows)
        few[: stop - start] = left[start:stop]
        _multiply(few[: stop - start], right, out[start:stop])


def multiply(left: NDArray, right: NDArray, out: NDArray) -> NDArray:
    """As in `array_loops`."""
    if out.shape[-1] < WIDE or sparse.issparse(left):
        return array_loops.multiply(left, right, out)
    rows = left.reshape(-1, left.shape[-1])
    # Scores, in double precision, depend on nothing but their row: neither may what computes them.
    if out.dtype == np.float32 and _count_nonzero(rows if rows.flags.c_contiguous else rows.T) > SPARSE * rows.size:
        return array_loops.multiply(left, right, out)
    product = _multiply if rows.flags.c_contiguous else _multiply_rearranged
    product(rows, right, out.reshape(-1, out.shape[-1]))
    return out


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


@compiled
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


def softplus_sums(natural: NDArray, mean: NDArray | None, scratch: NDArray) -> NDArray:
    """As in `array_loops`."""
    if natural.dtype != np.float32:
        return array_loops.softplus_sums(natural, mean, scratch)
    mean = scratch if mean is None else mean
    if mean is not natural:
        np.copyto(mean, natural)
    sums = np.empty(mean.shape[:-1], mean.dtype)
    _softplus_sums(mean.reshape(-1, mean.shape[-1]), sums.reshape(-1))
    return sums


# Arrays in a tuple would not be known to lie apart, and the loop take three times as long.
@compiled
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
    """As in `array_loops`."""
    for i in range(parameters.size):
        first[i] = decay_1 * first[i] + gradient[i]
        second[i] = decay_2 * second[i] + gradient[i] * gradient[i]
        parameters[i] += step * scales[i] * (first[i] / (np.sqrt(second[i]) + epsilon))


@compiled
def _uniforms(words: NDArray, out: NDArray, half: float, width: float) -> None:
    for i in range(out.size):
        out[i] = (words[i] + half) * width


def uniforms(words: NDArray, out: NDArray) -> None:
    """As in `array_loops`."""
    _uniforms(words.view(np.uint16), out, out.dtype.type(0.5), out.dtype.type(2.0**-16))
