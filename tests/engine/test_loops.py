"""Hot loops: NumPy's and the compiled ones against SciPy, and against each other."""

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest
from scipy import sparse
from scipy.special import expit, log_expit

from skwakesleep import HelmholtzMachine
from skwakesleep._engine.arrays import array_loops, random
from skwakesleep._engine.arrays import loops as choice
from skwakesleep._engine.machine import families, layers
from skwakesleep._engine.posterior import expansions
from skwakesleep._engine.training import optimizers
from skwakesleep.datasets import make_bars

HAS_NUMBA = importlib.util.find_spec("numba") is not None
needs_numba = pytest.mark.skipif(not HAS_NUMBA, reason="numba is not installed")
SHAPES = [(1,), (7,), (200,), (3, 1), (4, 10), (2, 3, 784)]
EXTREMES = [-1e30, -1e4, -800.0, -90.0, -17.0, -0.0, 0.0, 17.0, 90.0, 800.0, 1e4, 1e30]


@pytest.fixture(params=["numpy", pytest.param("numba", marks=needs_numba)])
def loops(request, monkeypatch):
    monkeypatch.setenv(choice.VARIABLE, request.param)
    return choice.chosen()


@pytest.fixture
def compiled(monkeypatch):
    pytest.importorskip("numba")
    monkeypatch.setenv(choice.VARIABLE, "numba")
    return choice.chosen()


@pytest.fixture
def use_compiled(compiled, monkeypatch):
    """Return a function after which all that is trained uses the compiled loops."""

    def use():
        for user in (expansions, families, layers, optimizers, random):
            monkeypatch.setattr(user, "LOOPS", compiled)

    return use


# -------------------------------------------------------------------- softplus


def softplus_sums(loops, natural):
    """Return sums and means, the natural parameters left alone."""
    mean = np.full_like(natural, np.nan)
    return loops.softplus_sums(natural, mean, np.empty_like(natural)), mean


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_softplus_and_sigmoid(loops, dtype, shape, rng):
    natural = rng.normal(scale=5, size=shape).astype(dtype)
    kept, exact = natural.copy(), natural.astype(float)
    sums, mean = softplus_sums(loops, natural)
    assert sums.dtype == mean.dtype == dtype
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(sums, -log_expit(-exact).sum(axis=-1), rtol=30 * eps)
    np.testing.assert_allclose(mean, expit(exact), rtol=20 * eps)
    np.testing.assert_array_equal(natural, kept)
    # Negative control: natural parameters that are off by a thousand last digits.
    assert not np.allclose(sums, -log_expit(-exact - 1000 * eps).sum(axis=-1), rtol=30 * eps, atol=0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_natural_parameters(loops, dtype):
    natural = np.array(EXTREMES, dtype)[:, np.newaxis]
    sums, mean = softplus_sums(loops, natural)
    exact, limits = natural.astype(float), np.finfo(dtype)
    np.testing.assert_allclose(sums, -log_expit(-exact)[:, 0], rtol=1e-6, atol=limits.eps)
    # Below the smallest normal number, anything as small will do.
    np.testing.assert_allclose(mean, expit(exact), rtol=1e-6, atol=4 * limits.tiny)


@pytest.mark.parametrize("lost", [np.nan, np.inf])
def test_what_diverges_is_seen_to(loops, lost):
    natural = np.array([[0.5, lost, -1.0]], np.float32)
    with np.errstate(all="ignore"):
        sums, _ = softplus_sums(loops, natural)
    assert not np.isfinite(sums).any()


def test_in_place_and_without_means(loops, rng):
    natural = rng.normal(size=(3, 50)).astype(np.float32)
    sums, mean = softplus_sums(loops, natural)
    np.testing.assert_array_equal(loops.softplus_sums(natural, None, np.empty_like(natural)), sums)
    np.testing.assert_array_equal(loops.softplus_sums(natural, natural, np.empty_like(natural)), sums)
    np.testing.assert_array_equal(natural, mean)


def test_a_row_does_not_depend_on_the_others(loops, rng):
    natural = rng.normal(size=(9, 201)).astype(np.float32)
    whole, _ = softplus_sums(loops, natural)
    alone = [softplus_sums(loops, natural[row : row + 1].copy())[0] for row in range(len(natural))]
    np.testing.assert_array_equal(np.concatenate(alone), whole)


# -------------------------------------------------------------------- products


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("width", [1, 63, 64, 201])
@pytest.mark.parametrize("density", [0.0, 0.02, 0.2, 1.0])
@pytest.mark.parametrize("form", ["rows", "transposed", "strided", "csr"])
def test_products(loops, dtype, width, density, form, rng):
    left = rng.normal(size=(40, 57)) * (rng.random((40, 57)) < density)
    left, right = left.astype(dtype), rng.normal(size=(57, width)).astype(dtype)
    given = {
        "rows": left,
        "transposed": np.ascontiguousarray(left.T).T,
        "strided": np.repeat(left, 2, axis=1)[:, ::2],
        "csr": sparse.csr_matrix(left),
    }[form]
    out = np.full((40, width), np.nan, dtype)
    assert loops.multiply(given, right, out) is out
    exact, rtol = left.astype(float) @ right.astype(float), 100 * np.finfo(dtype).eps
    np.testing.assert_allclose(out, exact, rtol=0, atol=rtol * (np.abs(exact).max() + 1))
    if density == 1:  # negative control: one number of the left matrix that is off by a thousandth
        left[3, 5] *= 1.001
        assert not np.allclose(out, left @ right, rtol=0, atol=rtol * np.abs(exact).max())


@pytest.mark.parametrize("lost", [np.nan, np.inf])
def test_products_keep_what_diverges(loops, lost):
    left, right = np.zeros((2, 9), np.float32), np.ones((9, 64), np.float32)
    left[0, 3] = lost
    left[1, 4] = 1
    with np.errstate(invalid="ignore"):
        out = loops.multiply(left, right, np.empty((2, 64), np.float32))
    assert not np.isfinite(out[0]).any()
    np.testing.assert_array_equal(out[1], 1)


def test_zeros_are_passed_over_where_they_are_many(compiled, monkeypatch, rng):
    passed_over = []
    monkeypatch.setattr(compiled, "_multiply", lambda left, right, out: passed_over.append(left.shape))
    right = np.ones((50, 64), np.float32)
    for n_ones in (5, 15, 16, 50):
        left = np.tile(np.arange(50) < n_ones, (10, 1)).astype(np.float32)
        compiled.multiply(left, right, np.empty((10, 64), np.float32))
    assert passed_over == [(10, 50)] * 2  # up to three in ten


@pytest.mark.parametrize("density", [0.1, 0.9])
def test_a_product_in_double_precision_depends_on_its_row_alone(compiled, density, rng):
    left, right = (rng.random((5, 8, 50)) < density) * 1.0, rng.normal(size=(50, 64))
    whole = compiled.multiply(left, right, np.empty((5, 8, 64)))
    np.testing.assert_allclose(whole, left @ right, atol=1e-12)
    for row, alone in zip(left.reshape(-1, 50), whole.reshape(-1, 64), strict=True):
        np.testing.assert_array_equal(compiled.multiply(row[np.newaxis], right, np.empty((1, 64)))[0], alone)


# ------------------------------------------------------------ Adam and uniforms


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_adam_is_the_same(compiled, dtype, rng):
    start = [rng.normal(size=1001).astype(dtype) for _ in range(5)]
    start[3] **= 2
    gradients = rng.normal(size=(20, 1001)).astype(dtype)

    def moved(loops, step=1e-2):
        parameters, _, first, second, scales = (array.copy() for array in start)
        numbers = [dtype(number) for number in (0.9, 0.999, step, 1e-8)]
        for gradient in gradients:
            loops.adam(parameters, gradient.copy(), first, second, scales, *numbers)
        assert parameters.dtype == dtype
        return parameters

    expected = moved(array_loops)
    rtol = 100 * np.finfo(dtype).eps
    np.testing.assert_allclose(moved(compiled), expected, rtol=rtol, atol=rtol)
    assert not np.allclose(moved(compiled, step=1.001e-2), expected, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1, 4, 5, 1000])
def test_uniforms_are_the_same_bits(compiled, dtype, size):
    words = np.random.SFC64(0).random_raw(-(-size // 4))
    one, other = np.empty(size, dtype), np.empty(size, dtype)
    array_loops.uniforms(words, one)
    compiled.uniforms(words, other)
    np.testing.assert_array_equal(one, other)


# ------------------------------------------------------------------- in training

X, _ = make_bars(200, random_state=0)


def trained(dtype):
    return HelmholtzMachine((8, 3), max_iter=3, tol=None, random_state=0).fit(X.astype(dtype))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_training_is_the_same_to_rounding(dtype, use_compiled):
    with_numpy = trained(dtype)
    use_compiled()
    np.testing.assert_allclose(trained(dtype).lower_bounds_, with_numpy.lower_bounds_, rtol=1e-3)


def test_scores_are_the_same_to_rounding(use_compiled):
    rows, _ = make_bars(50, side=9, random_state=0)
    machine = HelmholtzMachine(70, max_iter=1, tol=None, random_state=0).fit(rows)  # wide enough to pass over zeros
    scores = machine.score_samples(rows)
    use_compiled()
    np.testing.assert_allclose(machine.score_samples(rows), scores, rtol=1e-12)


def test_compiled_training_can_be_repeated_and_resumed(use_compiled):
    use_compiled()
    whole = trained(np.float32)
    halves = HelmholtzMachine((8, 3), max_iter=1, tol=None, warm_start=True, random_state=0)
    for _ in range(3):
        halves.fit(X.astype(np.float32))
    np.testing.assert_array_equal(halves.components_, whole.components_)


def test_compiled_training_that_diverges_says_so(use_compiled):
    use_compiled()
    with pytest.raises(ValueError, match=r"diverged at epoch \d+.*Lower learning_rate_init"):
        HelmholtzMachine(8, learning_rate_init=1e9, max_iter=50, random_state=0).fit(X.astype(np.float32))


# -------------------------------------------------------------------- the choice


def test_numpy_is_the_default(monkeypatch):
    monkeypatch.delenv(choice.VARIABLE, raising=False)
    assert choice.chosen() is array_loops


def test_unknown_loops(monkeypatch):
    monkeypatch.setenv(choice.VARIABLE, "cuda")
    with pytest.raises(ValueError, match=r"SKWAKESLEEP_LOOPS must be 'numpy' or 'numba', got 'cuda'"):
        choice.chosen()


def test_numba_that_is_not_there(monkeypatch):
    monkeypatch.setenv(choice.VARIABLE, "numba")
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delitem(sys.modules, "skwakesleep._engine.arrays.compiled_loops", raising=False)
    monkeypatch.delattr("skwakesleep._engine.arrays.compiled_loops", raising=False)
    with pytest.raises(ImportError, match=r"pip install 'skwakesleep\[fast\]'"):
        choice.chosen()


@needs_numba
def test_a_process_takes_the_loops_of_its_environment():
    code = "from skwakesleep._engine.machine import families; print(families.LOOPS.__name__)"
    environment = {**os.environ, choice.VARIABLE: "numba"}
    output = subprocess.check_output([sys.executable, "-c", code], text=True, env=environment)
    assert output.strip() == "skwakesleep._engine.arrays.compiled_loops"
