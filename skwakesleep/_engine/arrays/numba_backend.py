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
OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"reassoc", "contract", "nsz"}}


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


inlined = njit(**OPTIONS)  # for functions that only compiled ones call

SINGLE = np.dtype(np.float32)
ZERO, HALF, ONE, LOG2_E = (np.float32(number) for number in (0, 0.5, 1, 1 / np.log(2)))
WORD_WIDTH = np.float32(2.0**-16)  # of the interval that each value of a random 16-bit word stands for
# The exponent in the bits of a float32.
LEAST_EXPONENT = np.float32(-126)
EXPONENT_BIAS, EXPONENT_PLACE = np.int32(127), np.int32(23)

# Number of factors between 1 and 2 whose product is a float32.
FACTORS = 96

# Products skip zeros if at most this share of the left matrix is nonzero and the right one has at least this number of
# columns; otherwise the linear algebra library is faster. By measurement, with 512-bit instructions.
MAX_NONZERO_SHARE, MIN_COLUMNS = 0.2, 64
# Likewise for sums of outer products, for which the left matrix is transposed.
MAX_NONZERO_SHARE_OF_UNITS, MIN_RESIDUALS = 0.12, 128
# The share is that of the first rows.
COUNTED_ROWS = 64
# Units whose weights are copied at a time.
COPIED_UNITS = 16


@compiled("int64(float32[:, ::1])")
def _count_nonzero(matrix: NDArray) -> int:
    count = 0
    for row in range(matrix.shape[0]):
        for column in range(matrix.shape[1]):
            count += matrix[row, column] != 0
    return count


@compiled(
    "void(float32[:, ::1], float32[:, ::1], float32[::1], float32[:, ::1])",
    "void(float64[:, ::1], float64[:, ::1], float64[::1], float64[:, ::1])",
)
def _multiply(left: NDArray, right: NDArray, bias: NDArray, out: NDArray) -> None:
    """Write the product plus `bias` into `out`: the rows of `right` that do not meet zeros, added up four at a time."""
    n_rows, n_inner = left.shape
    n_columns = right.shape[1]
    used = np.empty(n_inner, np.int64)
    for row in range(n_rows):
        n_used = 0
        for inner in range(n_inner):
            used[n_used] = inner
            n_used += left[row, inner] != 0
        for j in range(n_columns):
            out[row, j] = bias[j]
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


@compiled("void(float32[:, ::1], float32[:, ::1], float32[::1], float32[:, ::1])")
def _outer_sums(units: NDArray, residual: NDArray, weights: NDArray, out: NDArray) -> None:
    """Write sums of weighted outer products, skipping units and weights that are zero."""
    n_rows, n_units = units.shape
    bias = np.zeros(residual.shape[1], np.float32)
    weighted = np.empty((COPIED_UNITS, n_rows), np.float32)
    for start in range(0, n_units, COPIED_UNITS):
        stop = min(start + COPIED_UNITS, n_units)
        for row in range(n_rows):
            some = units[row, start:stop]
            for unit in range(len(some)):
                weighted[unit, row] = weights[row] * some[unit]
        _multiply(weighted[: stop - start], residual, bias, out[start:stop])


def _polynomial(
    function: np.ufunc, degree: int, domain: tuple[float, float]
) -> tuple[np.float32, tuple[np.float32, ...]]:
    """Return the polynomial that equals a function at Chebyshev's nodes: its leading coefficient, and the others."""
    interpolated = Chebyshev.interpolate(function, degree, domain=domain).convert(kind=Polynomial)
    leading, *others = (np.float32(coefficient) for coefficient in interpolated.coef[::-1])
    return leading, tuple(others)


# Of a degree that is right to the last digit of single precision.
EXP2_LEADING, EXP2 = _polynomial(np.exp2, 6, (-0.5, 0.5))


@inlined
def _odds(logit: Any) -> Any:
    """Return ``exp(-|logit|)`` as ``2^whole 2^fraction``: the bits of an exponent, times a polynomial."""
    exponent = max(-abs(logit) * LOG2_E, LEAST_EXPONENT)
    whole = np.floor(exponent + HALF)
    fraction = exponent - whole
    power = EXP2_LEADING
    for coefficient in EXP2:
        power = power * fraction + coefficient
    return power * np.int32((np.int32(whole) + EXPONENT_BIAS) << EXPONENT_PLACE).view(np.float32)


@inlined
def _mean(logit: Any, odds: Any) -> Any:
    return (ONE if logit >= ZERO else odds) / (ONE + odds)


@inlined
def _softplus_sum(logits: NDArray, means: NDArray) -> Any:
    """Return the sum of ``log(1 + exp(logits))`` over a row, and write ``sigmoid(logits)`` into another one.

    The sum of ``softplus(s) = max(s, 0) + log(1 + exp(-|s|))`` needs one logarithm for a product of many factors.
    """
    total = ZERO
    for start in range(0, len(logits), FACTORS):
        some, out = logits[start : start + FACTORS], means[start : start + FACTORS]
        product = ONE
        for unit in range(len(some)):
            logit = some[unit]
            odds = _odds(logit)
            product *= ONE + odds
            total += max(logit, ZERO)
            out[unit] = _mean(logit, odds)
        total += np.log(product)
    return total


@compiled("void(float32[:, ::1], float32[:, ::1], float32[::1])")
def _softplus_sums(natural: NDArray, means: NDArray, sums: NDArray) -> None:
    """Write the sums for rows of natural parameters, and means, which may be in the same array, unless it is empty."""
    own = np.empty(natural.shape[1], np.float32)
    for row in range(len(natural)):
        sums[row] = _softplus_sum(natural[row], own)
        if len(means):
            for unit in range(len(own)):
                means[row, unit] = own[unit]


@inlined
def _shared(array: NDArray, row: int, particle: int) -> Any:
    """Return the vector of a row and a particle in an array whose first two axes broadcast."""
    return array[row if array.shape[0] > 1 else 0, particle if array.shape[1] > 1 else 0]


@inlined
def _is_first(array: NDArray, row: int, particle: int) -> Any:
    """Return whether the vector is another one than for the particle before."""
    return array.shape[1] > 1 or (particle == 0 and (row == 0 or array.shape[0] > 1))


@compiled("void(float32[:, :, ::1], float32[:, :, ::1], float32[:, :, ::1], float32[:, ::1])")
def _bernoulli(logits: NDArray, units: NDArray, residual: NDArray, log_prob: NDArray) -> None:
    """Write log-probabilities and residuals, which may be written over their logits."""
    n_rows, n_particles, n_units = residual.shape
    means = np.empty(n_units, np.float32)
    normalizer = ZERO
    for row in range(n_rows):
        for k in range(n_particles):
            own, given, out = _shared(logits, row, k), _shared(units, row, k), residual[row, k]
            if _is_first(logits, row, k):
                normalizer = _softplus_sum(own, means)
            total = ZERO
            for unit in range(n_units):
                total += given[unit] * own[unit]
            log_prob[row, k] = total - normalizer
            for unit in range(n_units):
                out[unit] = given[unit] - means[unit]


@compiled("void(float32[:, :, ::1], float32[:, ::1], float32[:, :, ::1], float32[:, :, ::1])")
def _binary_in_turn(logits: NDArray, triangle: NDArray, thresholds: NDArray, units: NDArray) -> None:
    n_rows, n_particles, n_units = units.shape
    pending = np.empty(n_units, np.float32)
    for row in range(n_rows):
        for k in range(n_particles):
            own = _shared(logits, row, k)
            for unit in range(n_units):
                pending[unit] = own[unit]
            for unit in range(n_units):
                is_on = thresholds[row, k, unit] < pending[unit]
                units[row, k, unit] = ONE if is_on else ZERO
                if is_on:
                    for later in range(unit + 1, n_units):
                        pending[later] += triangle[unit, later]


@compiled("void(float32[:, :, ::1], float32[:, ::1], float32[:, ::1])")
def _weighted_sums(rows: NDArray, weights: NDArray, out: NDArray) -> None:
    n_rows, n_particles, n_units = rows.shape
    for row in range(n_rows):
        for j in range(n_units):
            out[row, j] = 0
        for k in range(n_particles):
            weight = weights[row, k]
            if weight != 0:
                for j in range(n_units):
                    out[row, j] += weight * rows[row, k, j]


# One argument for each array: Numba cannot rule out that arrays in a tuple overlap, and is three times slower.
@compiled(
    "void(float32[::1], float32[::1], float32[::1], float32[::1], float32[::1], float32[::1], "
    "float32, float32, float32, float32, float32, float32, float32, float32)"
)
def _adam(
    parameters: NDArray,
    gradient: NDArray,
    first: NDArray,
    second: NDArray,
    scales: NDArray,
    strengths: NDArray,
    decay_1: float,
    decay_2: float,
    step: float,
    mean: float,
    square: float,
    least: float,
    share: float,
    information: float,
) -> None:
    for i in range(parameters.size):
        first[i] = decay_1 * first[i] + gradient[i]
        second[i] = decay_2 * second[i] + gradient[i] * gradient[i]
        weighted = parameters[i] * (information * second[i] + ONE)
        pull = share * strengths[i] * weighted / (weighted * parameters[i] + ONE)
        change = (mean * first[i] - pull) / np.sqrt(square * second[i] + pull * pull + least)
        parameters[i] += step * scales[i] * change


@compiled("void(uint16[::1], float32[::1])")
def _uniforms(words: NDArray, out: NDArray) -> None:
    for i in range(out.size):
        out[i] = (np.float32(words[i]) + HALF) * WORD_WIDTH


@compiled("void(uint16[::1], float32[:, :, ::1], float32[:, :, ::1])")
def _binary_units(words: NDArray, logits: NDArray, units: NDArray) -> None:
    n_rows, n_particles, n_units = units.shape
    chances = np.empty(n_units, np.float32)
    start = 0
    for row in range(n_rows):
        for k in range(n_particles):
            own, out, own_words = _shared(logits, row, k), units[row, k], words[start : start + n_units]
            start += n_units
            if _is_first(logits, row, k):
                for unit in range(n_units):
                    chances[unit] = _mean(own[unit], _odds(own[unit]))
            for unit in range(n_units):
                out[unit] = np.float32((np.float32(own_words[unit]) + HALF) * WORD_WIDTH < chances[unit])


@compiled("void(float32, float32[::1], float32, float32[::1])")
def _blend(keep: float, array: NDArray, share: float, other: NDArray) -> None:
    for i in range(array.size):
        array[i] = keep * array[i] + share * other[i]


class NumbaBackend(NumpyBackend):
    """Scratch arrays, and hot loops compiled by Numba.

    Arrays that the compiled functions do not take, of other dtypes or not in C order, are left to NumPy.
    """

    def matmul(self, left: NDArray, right: NDArray, out: NDArray, bias: NDArray | None = None) -> NDArray:
        if out.shape[-1] < MIN_COLUMNS or not isinstance(left, np.ndarray) or not left.flags.c_contiguous:
            return super().matmul(left, right, out, bias)
        rows = matrix_rows(left)
        # In double precision, in which scores are computed, the choice does not depend on the numbers: particles are
        # taken to be sparse, and the user's rows to be dense.
        pays = _is_sparse(rows, MAX_NONZERO_SHARE) if out.dtype == SINGLE else left.ndim == 3 and left.shape[1] > 1
        if not pays:
            return super().matmul(left, right, out, bias)
        _multiply(rows, right, np.zeros(out.shape[-1], out.dtype) if bias is None else bias, matrix_rows(out))
        return out

    def outer_sums(self, units: NDArray, residual: NDArray, weights: NDArray | None, out: NDArray) -> NDArray:
        pays = out.shape[1] >= MIN_RESIDUALS and isinstance(units, np.ndarray) and _suit(units, residual, out)
        if not pays or not _is_sparse(units, MAX_NONZERO_SHARE_OF_UNITS):
            return super().outer_sums(units, residual, weights, out)
        _outer_sums(units, residual, np.ones(len(units), np.float32) if weights is None else weights, out)
        return out

    def softplus_sums(self, natural: NDArray, mean: NDArray | None) -> NDArray:
        if not _suit(natural, *([] if mean is None else [mean])):
            return super().softplus_sums(natural, mean)
        means = np.empty((0, natural.shape[-1]), np.float32) if mean is None else matrix_rows(mean)
        sums = np.empty(natural.shape[:-1], np.float32)
        _softplus_sums(matrix_rows(natural), means, sums.reshape(-1))
        return sums

    def bernoulli(self, logits: NDArray, units: NDArray, residual: NDArray) -> NDArray:
        if not _suit(logits, units, residual):
            return super().bernoulli(logits, units, residual)
        log_prob = np.empty(residual.shape[:-1], np.float32)
        _bernoulli(logits, units, residual, log_prob)
        return log_prob

    def binary_in_turn(self, logits: NDArray, triangle: NDArray, thresholds: NDArray, units: NDArray) -> bool:
        if not _suit(logits, triangle, thresholds, units):
            return False
        _binary_in_turn(logits, triangle, thresholds, units)
        return True

    def weighted_sums(self, rows: NDArray, weights: NDArray, out: NDArray) -> NDArray:
        if not _suit(rows, weights, out):
            return super().weighted_sums(rows, weights, out)
        _weighted_sums(rows, weights, out)
        return out

    def blend(self, keep: float, array: NDArray, share: float, other: NDArray) -> None:
        blend = _blend if _suit(array, other) else super().blend
        blend(keep, array, share, other)

    def adam(
        self,
        parameters: NDArray,
        gradient: NDArray,
        first: NDArray,
        second: NDArray,
        scales: NDArray,
        strengths: NDArray | None,
        *numbers: float,
    ) -> None:
        if parameters.dtype != np.float32:
            return super().adam(parameters, gradient, first, second, scales, strengths, *numbers)
        strengths = np.zeros_like(parameters) if strengths is None else strengths
        return _adam(parameters, gradient, first, second, scales, strengths, *numbers)

    def uniforms(self, words: NDArray, out: NDArray) -> None:
        if out.dtype != np.float32:
            return super().uniforms(words, out)
        return _uniforms(words.view(np.uint16), out)

    def binary_units(self, words: NDArray, logits: NDArray, out: NDArray) -> None:
        if not _suit(logits, out):
            return super().binary_units(words, logits, out)
        return _binary_units(words.view(np.uint16), logits, out)


def _is_sparse(rows: NDArray, share: float) -> bool:
    """Return whether at most a share of the first rows is nonzero."""
    some = rows[:COUNTED_ROWS]
    return _count_nonzero(some) <= share * some.size


def _suit(*arrays: NDArray) -> bool:
    """Return whether compiled functions take the arrays."""
    for array in arrays:  # noqa: SIM110  (a generator expression takes twice as long)
        if array.dtype != SINGLE or not array.flags.carray:
            return False
    return True
