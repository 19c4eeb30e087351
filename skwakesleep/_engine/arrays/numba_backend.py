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

# The types of a product's arguments, given a dtype and the layout of the left matrix.
PRODUCT = "void({0}[:{1}], {0}[:, ::1], {0}[::1], {0}[:, ::1])"

SINGLE = np.dtype(np.float32)
ZERO, HALF, ONE, LOG2_E = (np.float32(number) for number in (0, 0.5, 1, 1 / np.log(2)))
WORD_WIDTH = np.float32(2.0**-16)  # of the interval that each value of a random 16-bit word stands for
LARGEST = np.finfo(np.float32).max
# The exponent in the bits of a float32.
LEAST_EXPONENT = np.float32(-126)
EXPONENT_BIAS, EXPONENT_PLACE = np.int32(127), np.int32(23)

# Number of factors between 1 and 2 whose product is a float32.
FACTORS = 96

# Products skip zeros if at most this share of the left matrix is nonzero and the right one has at least this number of
# columns; otherwise the linear algebra library is faster. By measurement, with 512-bit instructions, for a left matrix
# that is stored by rows, and for others.
MAX_NONZERO_SHARE, MIN_COLUMNS = 0.2, 64
MAX_NONZERO_SHARE_REARRANGED, MIN_COLUMNS_REARRANGED = 0.12, 128
# Rows copied at a time from a matrix that is not stored by rows.
COPIED_ROWS = 16


@compiled("int64(float32[:, ::1])")
def _count_nonzero(matrix: NDArray) -> int:
    count = 0
    for row in range(matrix.shape[0]):
        for column in range(matrix.shape[1]):
            count += matrix[row, column] != 0
    return count


@compiled(PRODUCT.format("float32", ", ::1"), PRODUCT.format("float64", ", ::1"))
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


@compiled(PRODUCT.format("float32", ", :"), PRODUCT.format("float64", ", :"))
def _multiply_rearranged(left: NDArray, right: NDArray, bias: NDArray, out: NDArray) -> None:
    """As `_multiply`, for a matrix that is stored otherwise than by rows."""
    n_rows, n_inner = left.shape
    copied = np.empty((COPIED_ROWS, n_inner), left.dtype)
    for start in range(0, n_rows, COPIED_ROWS):
        stop = min(start + COPIED_ROWS, n_rows)
        for inner in range(n_inner):
            for row in range(start, stop):
                copied[row - start, inner] = left[row, inner]
        _multiply(copied[: stop - start], right, bias, out[start:stop])


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
            out[unit] = (ONE if logit >= ZERO else odds) / (ONE + odds)
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


@compiled("void(float32[:, ::1], float32[:, ::1], float32[:, ::1], float32[::1])")
def _bernoulli(logits: NDArray, units: NDArray, residual: NDArray, log_prob: NDArray) -> None:
    """Write log-probabilities and residuals; consecutive rows share their logits or their units if these have fewer.

    Residuals may be written over the logits of the same rows.
    """
    n_rows, n_units = residual.shape
    by_logits, by_units = n_rows // len(logits), n_rows // len(units)
    means = np.empty(n_units, np.float32)
    for row in range(n_rows):
        own, given = logits[row // by_logits], units[row // by_units]
        if row % by_logits == 0:
            normalizer = _softplus_sum(own, means)
        total = ZERO
        for unit in range(n_units):
            total += given[unit] * own[unit]
        log_prob[row] = total - normalizer
        for unit in range(n_units):
            residual[row, unit] = given[unit] - means[unit]


@compiled("void(float32[:, ::1], float32[:, ::1], float32[:, ::1], float32[:, ::1])")
def _binary_in_turn(logits: NDArray, triangle: NDArray, thresholds: NDArray, units: NDArray) -> None:
    n_rows, n_units = units.shape
    by_logits = n_rows // len(logits)
    pending = np.empty(n_units, np.float32)
    for row in range(n_rows):
        for unit in range(n_units):
            pending[unit] = logits[row // by_logits, unit]
        for unit in range(n_units):
            is_on = thresholds[row, unit] < pending[unit]
            units[row, unit] = ONE if is_on else ZERO
            if is_on:
                for later in range(unit + 1, n_units):
                    pending[later] += triangle[unit, later]


@compiled("void(float32[:, ::1], float32[::1], int64[::1], float32[:, ::1])")
def _weighted_rows(rows: NDArray, weights: NDArray, index: NDArray, out: NDArray) -> None:
    for i in range(len(index)):
        row = index[i]
        weight = weights[row]
        for j in range(rows.shape[1]):
            out[i, j] = weight * rows[row, j]


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


@compiled("void(float32[::1], float32[::1], float32, float32[::1])")
def _add_pull(parameters: NDArray, strengths: NDArray, scale: float, gradient: NDArray) -> None:
    for i in range(parameters.size):
        square = parameters[i] * parameters[i] + scale * scale
        gradient[i] += strengths[i] * parameters[i] / square if square < LARGEST else ZERO  # not infinity / infinity


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


@compiled("void(uint16[::1], float32[:, ::1], float32[:, ::1])")
def _below(words: NDArray, chances: NDArray, out: NDArray) -> None:
    n_rows, n_units = out.shape
    by_chances = n_rows // len(chances)
    for row in range(n_rows):
        own, own_words = chances[row // by_chances], words[row * n_units : (row + 1) * n_units]
        for unit in range(n_units):
            uniform = (np.float32(own_words[unit]) + HALF) * WORD_WIDTH
            out[row, unit] = np.float32(uniform < own[unit])


class NumbaBackend(NumpyBackend):
    """Scratch arrays, and hot loops compiled by Numba.

    Arrays that the compiled functions do not take, of other dtypes or not in C order, are left to NumPy.
    """

    def matmul(self, left: NDArray, right: NDArray, out: NDArray, bias: NDArray | None = None) -> NDArray:
        if out.shape[-1] < MIN_COLUMNS or not isinstance(left, np.ndarray):
            return super().matmul(left, right, out, bias)
        rows = matrix_rows(left)
        multiply = _multiply if rows.flags.c_contiguous else _multiply_rearranged
        # In double precision, in which scores are computed, the choice does not depend on the numbers.
        if not (rows.flags.forc and (out.dtype == np.float64 or _pays(rows, out.shape[-1]))):
            return super().matmul(left, right, out, bias)
        multiply(rows, right, np.zeros(out.shape[-1], out.dtype) if bias is None else bias, matrix_rows(out))
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
        _bernoulli(matrix_rows(logits), matrix_rows(units), matrix_rows(residual), log_prob.reshape(-1))
        return log_prob

    def binary_in_turn(self, logits: NDArray, triangle: NDArray, thresholds: NDArray, units: NDArray) -> bool:
        if not _suit(logits, triangle, thresholds, units):
            return False
        _binary_in_turn(matrix_rows(logits), triangle, matrix_rows(thresholds), matrix_rows(units))
        return True

    def weighted_rows(self, rows: NDArray, weights: NDArray, index: NDArray, out: NDArray) -> NDArray:
        if not _suit(rows, weights, out):
            return super().weighted_rows(rows, weights, index, out)
        _weighted_rows(rows, weights, index, out)
        return out

    def weighted_sums(self, rows: NDArray, weights: NDArray, out: NDArray) -> NDArray:
        if not _suit(rows, weights, out):
            return super().weighted_sums(rows, weights, out)
        _weighted_sums(rows, weights, out)
        return out

    def add_pull(self, parameters: NDArray, strengths: NDArray, scale: float, gradient: NDArray) -> None:
        add_pull = _add_pull if _suit(parameters, strengths, gradient) else super().add_pull
        add_pull(parameters, strengths, scale, gradient)

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

    def below(self, words: NDArray, chances: NDArray, out: NDArray) -> None:
        if not _suit(chances, out):
            return super().below(words, chances, out)
        return _below(words.view(np.uint16), matrix_rows(chances), matrix_rows(out))


def _pays(left: NDArray, n_columns: int) -> bool:
    """Return whether a product in single precision skips zeros."""
    if left.flags.c_contiguous:
        return _count_nonzero(left) <= MAX_NONZERO_SHARE * left.size
    return n_columns >= MIN_COLUMNS_REARRANGED and (_count_nonzero(left.T) <= MAX_NONZERO_SHARE_REARRANGED * left.size)


def _suit(*arrays: NDArray) -> bool:
    """Return whether compiled functions take the arrays."""
    for array in arrays:  # a generator expression takes twice as long
        if array.dtype != SINGLE or not array.flags.carray:
            return False
    return True
