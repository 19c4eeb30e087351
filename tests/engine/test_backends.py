"""Both backends compared with SciPy, and with each other."""

import sys

import numpy as np
import pytest
from scipy import sparse
from scipy.special import expit, log_expit

from skwakesleep import HelmholtzMachine
from skwakesleep._engine.arrays import backend as backends
from skwakesleep._engine.arrays.numpy_backend import NumpyBackend
from skwakesleep._engine.arrays.random import Streams
from skwakesleep._engine.machine.rows import Rows
from skwakesleep._engine.posterior.annealing import AnnealedImportanceSampling
from skwakesleep._engine.posterior.likelihood import estimate
from skwakesleep._engine.training.loop import train
from skwakesleep._engine.training.optimizers import Adam
from skwakesleep._engine.training.state import TrainingState
from skwakesleep.datasets import make_bars
from tests.engine.conftest import MAKERS, needs_numba, numba_backend
from tests.engine.machines import EVERYWHERE, dreams, random_machine, visible, wake_sleep

SHAPES = [(1,), (7,), (200,), (3, 1), (4, 10), (2, 3, 784)]
EXTREMES = [-1e30, -1e4, -800.0, -90.0, -17.0, -0.0, 0.0, 17.0, 90.0, 800.0, 1e4, 1e30]


@pytest.fixture
def use_compiled(monkeypatch):
    """Return a function after which estimators use compiled backend."""
    pytest.importorskip("numba")
    return lambda: monkeypatch.setenv(backends.VARIABLE, "numba")


# -------------------------------------------------------------------- softplus


def softplus_sums(backend, natural):
    """Return sums and means, without changing the natural parameters."""
    mean = np.full_like(natural, np.nan)
    return backend.softplus_sums(natural, mean), mean


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_softplus_and_sigmoid(backend, dtype, shape, rng):
    natural = rng.normal(scale=5, size=shape).astype(dtype)
    kept, exact = natural.copy(), natural.astype(float)
    sums, mean = softplus_sums(backend, natural)
    assert sums.dtype == mean.dtype == dtype
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(sums, -log_expit(-exact).sum(axis=-1), rtol=30 * eps)
    np.testing.assert_allclose(mean, expit(exact), rtol=20 * eps)
    np.testing.assert_array_equal(natural, kept)
    # Negative control: natural parameters that differ by a thousand units in the last place.
    assert not np.allclose(sums, -log_expit(-exact - 1000 * eps).sum(axis=-1), rtol=30 * eps, atol=0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_natural_parameters(backend, dtype):
    natural = np.array(EXTREMES, dtype)[:, np.newaxis]
    sums, mean = softplus_sums(backend, natural)
    exact, limits = natural.astype(float), np.finfo(dtype)
    np.testing.assert_allclose(sums, -log_expit(-exact)[:, 0], rtol=1e-6, atol=limits.eps)
    # Numbers below the smallest normal number are not computed exactly.
    np.testing.assert_allclose(mean, expit(exact), rtol=1e-6, atol=4 * limits.tiny)


@pytest.mark.parametrize("lost", [np.nan, np.inf])
def test_sums_of_numbers_that_diverge_are_not_finite(backend, lost):
    natural = np.array([[0.5, lost, -1.0]], np.float32)
    with np.errstate(all="ignore"):
        sums, _ = softplus_sums(backend, natural)
    assert not np.isfinite(sums).any()


def test_softplus_in_place_and_without_means(backend, rng):
    natural = rng.normal(size=(3, 50)).astype(np.float32)
    sums, mean = softplus_sums(backend, natural)
    np.testing.assert_array_equal(backend.softplus_sums(natural, None), sums)
    np.testing.assert_array_equal(backend.softplus_sums(natural, natural), sums)
    np.testing.assert_array_equal(natural, mean)


def test_softplus_sums_of_a_row_do_not_depend_on_the_others(backend, rng):
    natural = rng.normal(size=(9, 201)).astype(np.float32)
    whole, _ = softplus_sums(backend, natural)
    alone = [softplus_sums(backend, natural[row : row + 1].copy())[0] for row in range(len(natural))]
    np.testing.assert_array_equal(np.concatenate(alone), whole)


# -------------------------------------------------------------------- products


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("width", [1, 63, 64, 201])
@pytest.mark.parametrize("form", ["rows", "transposed", "strided", "csr"])
def test_products(backend, dtype, width, form):
    for density in 0.0, 0.02, 0.2, 1.0:
        check_product(backend, dtype, width, density, form)


def check_product(backend, dtype, width, density, form):
    rng = np.random.default_rng(20)
    left = rng.normal(size=(40, 57)) * (rng.random((40, 57)) < density)
    left, right = left.astype(dtype), rng.normal(size=(57, width)).astype(dtype)
    given = {
        "rows": left,
        "transposed": np.ascontiguousarray(left.T).T,
        "strided": np.repeat(left, 2, axis=1)[:, ::2],
        "csr": sparse.csr_matrix(left),
    }[form]
    out = np.full((40, width), np.nan, dtype)
    bias = rng.normal(size=width).astype(dtype)
    assert backend.matmul(given, right, out, bias) is out
    exact, rtol = left.astype(float) @ right.astype(float), 100 * np.finfo(dtype).eps
    np.testing.assert_allclose(out, exact + bias, rtol=0, atol=rtol * (np.abs(exact).max() + 3))
    backend.matmul(given, right, out)
    np.testing.assert_allclose(out, exact, rtol=0, atol=rtol * (np.abs(exact).max() + 1))
    if density == 1:  # negative control: one number of the left matrix that is off by a thousandth
        left[3, 5] *= 1.001
        assert not np.allclose(out, left @ right, rtol=0, atol=rtol * np.abs(exact).max())


@pytest.mark.parametrize("lost", [np.nan, np.inf])
def test_products_of_numbers_that_diverge_are_not_finite(backend, lost):
    left, right = np.zeros((2, 9), np.float32), np.ones((9, 64), np.float32)
    left[0, 3] = lost
    left[1, 4] = 1
    with np.errstate(invalid="ignore"):
        out = backend.matmul(left, right, np.empty((2, 64), np.float32))
    assert not np.isfinite(out[0]).any()
    np.testing.assert_array_equal(out[1], 1)


@pytest.mark.parametrize(("width", "most"), [(64, 10), (63, -1)])
def test_products_skip_zeros_if_few_numbers_are_nonzero(width, most, compiled, monkeypatch):
    """At most a fifth, in products of at least 64 columns."""
    skipped = []
    monkeypatch.setattr(compiled_loops(), "_multiply", lambda left, *others: skipped.append(int(left[0].sum())))
    counts = (0, 5, 10, 11, 50)
    for n_ones in counts:
        left = np.tile(np.arange(50) < n_ones, (10, 1)).astype(np.float32)
        compiled.matmul(left, np.ones((50, width), np.float32), np.empty((10, width), np.float32))
    assert skipped == [n_ones for n_ones in counts if n_ones <= most]


@pytest.mark.parametrize(("width", "most"), [(128, 6), (127, -1)])
def test_outer_sums_skip_zeros_if_few_numbers_are_nonzero(width, most, compiled, monkeypatch):
    """At most an eighth, with at least 128 residuals."""
    skipped = []
    monkeypatch.setattr(compiled_loops(), "_outer_sums", lambda units, *others: skipped.append(int(units[0].sum())))
    counts = (0, 5, 6, 7, 50)
    for n_ones in counts:
        units = np.tile(np.arange(50) < n_ones, (10, 1)).astype(np.float32)
        compiled.outer_sums(units, np.ones((10, width), np.float32), None, np.empty((50, width), np.float32))
    assert skipped == [n_ones for n_ones in counts if n_ones <= most]


def compiled_loops():
    from skwakesleep._engine.arrays import numba_backend

    return numba_backend


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("density", [0.05, 1.0])
@pytest.mark.parametrize("kept", [None, 1.0, 0.3])
@pytest.mark.parametrize("shape", [(1, 1, 1), (70, 37, 130), (3, 16, 128), (9, 5, 7)])
def test_outer_sums(backend, dtype, density, kept, shape, rng):
    n_rows, n_units, n_residuals = shape
    units = ((rng.random((n_rows, n_units)) < density) * rng.normal(size=(n_rows, n_units))).astype(dtype)
    residual = rng.normal(size=(n_rows, n_residuals)).astype(dtype)
    weights = None if kept is None else ((rng.random(n_rows) < kept) * rng.random(n_rows)).astype(dtype)
    out = np.full((n_units, n_residuals), np.nan, dtype)
    assert backend.outer_sums(units, residual, weights, out) is out
    exact = np.einsum("ri,rj,r->ij", units, residual, np.ones(n_rows) if kept is None else weights, dtype=float)
    np.testing.assert_allclose(out, exact, rtol=0, atol=50 * np.finfo(dtype).eps * (np.abs(exact).max() + 1))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weighted_sums(backend, dtype, rng):
    rows, weights = rng.normal(size=(4, 3, 50)).astype(dtype), rng.random((4, 3)).astype(dtype)
    weights[1, :2] = 0
    out = backend.weighted_sums(rows, weights, np.full((4, 50), np.nan, dtype))
    np.testing.assert_allclose(
        out, (weights[..., np.newaxis] * rows).sum(axis=1), rtol=0, atol=20 * np.finfo(dtype).eps
    )


# -------------------------------------------------------------------- binary units


SHAPES_OF_UNITS = [((6, 4), (6, 4)), ((6, 1), (6, 4)), ((6, 4), (6, 1)), ((1, 1), (6, 4)), ((1, 5), (4, 1))]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("of_logits", "of_units"), SHAPES_OF_UNITS)
@pytest.mark.parametrize("n_units", [1, 97, 300])
def test_binary_units_are_evaluated(backend, dtype, of_logits, of_units, n_units, rng):
    logits = rng.normal(scale=3, size=(*of_logits, n_units)).astype(dtype)
    units = (rng.random((*of_units, n_units)) < 0.3).astype(dtype)
    exact, eps = logits.astype(float), np.finfo(dtype).eps
    residual = np.empty(np.broadcast_shapes(logits.shape, units.shape), dtype)
    log_prob = backend.bernoulli(logits, units, residual)
    np.testing.assert_array_equal(logits, exact)  # unchanged
    expected = (units * log_expit(exact) + (1 - units) * log_expit(-exact)).sum(axis=-1)
    np.testing.assert_allclose(log_prob, expected, rtol=50 * eps, atol=100 * eps)
    np.testing.assert_allclose(residual, units - expit(exact), rtol=0, atol=10 * eps)
    if residual.shape == logits.shape:  # in place
        np.testing.assert_array_equal(backend.bernoulli(logits, units, logits), log_prob)
        np.testing.assert_array_equal(logits, residual)


@pytest.mark.parametrize(("of_logits", "of_units"), [*SHAPES_OF_UNITS[:2], ((1, 1), (6, 4)), ((1, 4), (6, 4))])
def test_binary_units_are_drawn_alike(compiled, of_logits, of_units, rng):
    logits = rng.normal(size=(*of_logits, 40)).astype(np.float32)
    words = np.random.SFC64(0).random_raw(6 * 4 * 10)
    one, other = np.empty((2, *of_units, 40), np.float32)
    NumpyBackend().binary_units(words, logits, one)
    compiled.binary_units(words, logits, other)
    assert (one != other).mean() < 0.01  # uniforms may be equal to a mean to rounding
    chances = np.broadcast_to(expit(logits), one.shape)
    assert abs((one - chances).mean()) < 0.05
    assert 0.1 < one.mean() < 0.9


@pytest.mark.parametrize("of_logits", [(7, 3), (1, 1)])
def test_autoregressive_binary_units_are_drawn_alike(compiled, of_logits, rng):
    logits = rng.normal(size=(*of_logits, 70)).astype(np.float32)
    triangle = np.triu(rng.normal(size=(70, 70)), 1).astype(np.float32)
    thresholds = rng.logistic(size=(7, 3, 70)).astype(np.float32)
    units = np.empty_like(thresholds)
    assert compiled.binary_in_turn(logits, triangle, thresholds, units)
    np.testing.assert_array_equal(units, thresholds < logits + units @ triangle)
    assert 0.1 < units.mean() < 0.9
    assert not NumpyBackend().binary_in_turn(logits, triangle, thresholds, units)


@pytest.mark.parametrize("density", [0.1, 0.9])
def test_a_compiled_product_in_double_precision_depends_on_its_row_alone(compiled, density, rng):
    left, right = (rng.random((5, 8, 50)) < density) * 1.0, rng.normal(size=(50, 64))
    whole = compiled.matmul(left, right, np.empty((5, 8, 64)))
    np.testing.assert_allclose(whole, left @ right, atol=1e-12)
    for row in range(5):
        alone = compiled.matmul(left[[row]], right, np.empty((1, 8, 64)))
        np.testing.assert_array_equal(alone[0], whole[row])


# --------------------------------------------------- vectors of parameters, uniforms


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("keep", [1.0, 0.25])
def test_blend(backend, dtype, keep, rng):
    array, other = rng.normal(size=(2, 101)).astype(dtype)
    expected = keep * array + 0.3 * other
    backend.blend(keep, array, 0.3, other)
    np.testing.assert_allclose(array, expected, rtol=0, atol=5 * np.finfo(dtype).eps)


@pytest.mark.parametrize("with_strengths", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_adam_is_the_same(compiled, dtype, with_strengths, rng):
    start = [rng.normal(size=1001).astype(dtype) for _ in range(5)]
    start[3] **= 2
    strengths = rng.random(1001).astype(dtype) if with_strengths else None
    gradients = rng.normal(size=(20, 1001)).astype(dtype)

    def moved(backend, step=1e-2, mean=0.1, square=0.1, least=1e-3, information=100.0):
        parameters, _, first, second, scales = (array.copy() for array in start)
        numbers = 0.9, 0.999, step, mean, square, least, 0.5, information
        for gradient in gradients:
            backend.adam(parameters, gradient.copy(), first, second, scales, strengths, *numbers)
        assert parameters.dtype == dtype
        return parameters

    expected = moved(NumpyBackend())
    rtol = 200 * np.finfo(dtype).eps
    np.testing.assert_allclose(moved(compiled), expected, rtol=rtol, atol=rtol)
    # Negative controls: the same step with another of the numbers.
    for other in ({"step": 1.001e-2}, {"mean": 0.1001}, {"square": 0.1001}, {"least": 1.1e-3}, {"information": 101.0}):
        same = np.allclose(moved(compiled, **other), expected, rtol=rtol, atol=rtol)
        assert same == (other == {"information": 101.0} and not with_strengths)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1, 4, 5, 1000])
def test_uniforms_are_the_same_bits(compiled, dtype, size):
    words = np.random.SFC64(0).random_raw(-(-size // 4))
    one, other = np.empty(size, dtype), np.empty(size, dtype)
    NumpyBackend().uniforms(words, one)
    compiled.uniforms(words, other)
    np.testing.assert_array_equal(one, other)


# --------------------------------------------------- a step of training, and scores


def trained_parameters(backend, kind, autoregressive, dtype):
    """Return the parameters after one epoch, and its lower bound."""
    machine, flat = random_machine((70, 6, 70), 0, kind=kind, autoregressive=autoregressive, scale=0.1)
    x = dreams(machine, flat, 60)[1][:, 0].astype(dtype)
    state = TrainingState(flat.astype(dtype), Adam(0.1, machine.step_scales(dtype)), Streams(1))
    objective = wake_sleep(machine, state.parameters, "both", 5, backend=backend)
    rows = Rows(machine.columns.decode(x), machine.columns, dtype, backend)
    options = {"n_epochs": 1, "batch_size": 60, "shuffle": False, "stopping": None, "validate": None}
    train(state, objective, rows, monitor=Monitor(), backend=backend, **options)
    return state.parameters, state.lower_bounds[0]


class Monitor:
    def epoch_begin(self):
        pass

    def epoch_end(self, state):
        return False


@pytest.mark.parametrize("autoregressive", [(), EVERYWHERE], ids=["plain", "autoregressive"])
@pytest.mark.parametrize("kind", ["bernoulli", "gaussian", "mixed"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_training_step_is_the_same_to_rounding(dtype, kind, autoregressive, compiled):
    """Adam moves a parameter by the learning rate even if its gradient is only rounding; few are."""
    expected, bound = trained_parameters(NumpyBackend(), kind, autoregressive, dtype)
    parameters, compiled_bound = trained_parameters(compiled, kind, autoregressive, dtype)
    tolerance = 1e4 * float(np.finfo(dtype).eps)
    assert compiled_bound == pytest.approx(bound, rel=tolerance)
    same = np.isclose(parameters, expected, rtol=tolerance, atol=tolerance)
    assert same.mean() > 0.999
    # Negative control: a lower bound of other noise is not within the tolerance.
    _, other = trained_parameters(NumpyBackend(), kind, autoregressive[:-1] or ("prior",), dtype)
    assert other != pytest.approx(bound, rel=tolerance)


@pytest.mark.parametrize("n_steps", [0, 3])
@pytest.mark.parametrize("n_hidden", [8, 70])
def test_scores_of_both_backends_are_the_same_to_rounding(n_hidden, n_steps, compiled):
    """By enumeration, and with particles of which compiled products skip the zeros."""
    machine, flat = random_machine((80, n_hidden), 3, scale=0.3)
    _, x = dreams(machine, flat, 20)

    def scores(backend, flat):
        rows = Rows(x[:, 0], machine.columns, np.float64, backend)
        return estimate(machine, flat, rows, backend, n_particles=8, n_steps=n_steps).log_likelihood

    expected = scores(NumpyBackend(), flat)
    np.testing.assert_allclose(scores(compiled, flat), expected, rtol=1e-12)
    assert not np.allclose(scores(compiled, flat * (1 + 1e-6)), expected, rtol=1e-12, atol=0)  # negative control


# ------------------------------------------------------- matrix products by row


@needs_numba
@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (40, 1), (40, 7)])
def test_products_by_row_depend_on_the_row_alone(name, shape, rng):
    """To the last digit; the others agree to rounding."""
    left, right = rng.normal(size=(*shape, 301)), rng.normal(size=(301, 65))
    backend = MAKERS[name]().new(by_row=True)
    whole = backend.matmul(left, right, np.empty((*shape, 65))).copy()
    np.testing.assert_allclose(whole, left @ right, rtol=0, atol=1e-12)
    order = rng.permutation(shape[0])
    np.testing.assert_array_equal(backend.matmul(left[order], right, np.empty_like(whole)), whole[order])
    for row in range(shape[0]):
        one = backend.matmul(left[[row]], right, np.empty((1, shape[1], 65)))
        np.testing.assert_array_equal(one, whole[[row]])


def test_a_product_of_all_rows_at_once_depends_on_their_number(rng):
    """Negative control: the library rounds otherwise for one row than for many."""
    left, right = rng.normal(size=(40, 1, 301)), rng.normal(size=(301, 65))
    whole = NumpyBackend().matmul(left, right, np.empty((40, 1, 65)))
    alone = [NumpyBackend().matmul(left[[row]], right, np.empty((1, 1, 65))) for row in range(40)]
    assert (np.concatenate(alone) != whole).any()


@pytest.mark.parametrize("kind", ["bernoulli", "gaussian", "mixed"])
@pytest.mark.parametrize("autoregressive", [(), EVERYWHERE], ids=["plain", "autoregressive"])
@pytest.mark.parametrize("n_steps", [0, 2])
def test_a_score_by_row_does_not_depend_on_the_other_rows_or_its_place(kind, autoregressive, n_steps, backend):
    machine, flat = random_machine((70, 17, 3), 4, kind=kind, autoregressive=autoregressive, scale=0.3)
    _, x = dreams(machine, flat, 30)
    networks = machine.bind(flat, backend.new(by_row=True))
    posterior = AnnealedImportanceSampling(machine, networks, 3, n_steps)
    whole = posterior(visible(x)).log_likelihood
    order = np.random.default_rng(5).permutation(30)
    np.testing.assert_array_equal(posterior(visible(x[order])).log_likelihood, whole[order])
    np.testing.assert_array_equal(posterior(visible(x[7:12])).log_likelihood, whole[7:12])
    for row in 0, 11, 29:
        np.testing.assert_array_equal(posterior(visible(x[[row]])).log_likelihood, whole[[row]])


def test_a_new_backend_has_scratch_arrays_of_its_own(backend):
    other = backend.new()
    assert type(other) is type(backend)
    arrays = [one.empty("a", (3,), np.float64) for one in (backend, other)]
    assert not np.shares_memory(*arrays)


# ------------------------------------------------------------------- estimators

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
    machine = HelmholtzMachine(70, max_iter=1, tol=None, random_state=0).fit(rows)  # wide enough to skip zeros
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


def test_compiled_training_that_diverges_raises_an_error(use_compiled):
    use_compiled()
    with pytest.raises(ValueError, match=r"diverged at epoch \d+.*Lower learning_rate_init"):
        HelmholtzMachine(8, learning_rate_init=1e9, max_iter=50, random_state=0).fit(X.astype(np.float32))


# -------------------------------------------------------- the default backend


@pytest.fixture
def default(monkeypatch):
    """Return what the default backend is in a new process."""
    monkeypatch.delenv(backends.VARIABLE, raising=False)
    backends._fastest.cache_clear()
    yield lambda: type(backends.default_backend())
    backends._fastest.cache_clear()


@needs_numba
def test_loops_are_compiled_by_default(default):
    assert default() is type(numba_backend())


def test_numpy_is_the_default_without_numba(default, monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    assert default() is NumpyBackend


def test_numpy_is_the_default_with_a_warning_if_numba_is_broken(default, monkeypatch, tmp_path):
    forget_numba(monkeypatch)
    (tmp_path / "numba.py").write_text("raise ImportError('Numba needs NumPy 1.0 or less')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.warns(RuntimeWarning, match=r"Numba needs NumPy 1.0 or less.*SKWAKESLEEP_LOOPS=numpy to silence"):
        assert default() is NumpyBackend
    assert default() is NumpyBackend  # without another warning


def forget_numba(monkeypatch):
    """Let Numba be imported anew."""
    for name in [name for name in sys.modules if name.split(".")[0] == "numba"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "skwakesleep._engine.arrays.numba_backend", raising=False)
    monkeypatch.delattr("skwakesleep._engine.arrays.numba_backend", raising=False)


# ------------------------------------------------------------ the cache of Numba


def increment(number):
    return number + 1


@pytest.fixture
def compile_anew(tmp_path, monkeypatch):
    """Return a function that compiles as a new process would, with an empty cache."""
    pytest.importorskip("numba")
    from skwakesleep._engine.arrays.numba_backend import compiled

    monkeypatch.setattr("numba.config.CACHE_DIR", str(tmp_path))
    return lambda: compiled("int64(int64)")(increment)


def n_loaded(function):
    """Return how many functions were loaded from the cache."""
    return sum(function.stats.cache_hits.values())


def test_compiled_functions_are_kept_in_the_cache(compile_anew):
    assert n_loaded(compile_anew()) == 0
    assert n_loaded(compile_anew()) == 1


@pytest.mark.parametrize("failing", ["CacheImpl.__init__", "Cache.load_overload", "Cache.save_overload"])
@pytest.mark.parametrize("error", [RuntimeError, OSError, EOFError])
def test_functions_are_compiled_without_a_cache_if_it_fails(failing, error, compile_anew, monkeypatch):
    """It has no folder to write to, holds a damaged file, or the disk is full."""

    def fail(*args):
        failures.append(args)
        raise error

    failures = []
    monkeypatch.setattr(f"numba.core.caching.{failing}", fail)
    assert compile_anew()(2) == 3
    assert failures


@needs_numba
def test_the_environment_is_read_at_each_call(monkeypatch):
    for name, maker in MAKERS.items():
        monkeypatch.setenv(backends.VARIABLE, name)
        assert type(backends.default_backend()) is type(maker())


@needs_numba
def test_estimators_use_the_default_backend(monkeypatch):
    """Training, and each method that computes."""
    used = []

    def recorded():
        used.append(1)
        return numba_backend()

    for module in "_helmholtz_machine", "_fitted_machine":
        monkeypatch.setattr(f"skwakesleep.{module}.default_backend", recorded)
    machine = trained(np.float32)
    calls = [
        lambda: machine.partial_fit(X),
        lambda: machine.score_samples(X),
        lambda: machine.transform(X),
        lambda: machine.inverse_transform(np.zeros((2, 3))),
        lambda: machine.sample(3),
        lambda: machine.certify(3),
    ]
    for call in calls:
        used.clear()
        call()
        assert used


def test_an_unknown_backend_is_named(monkeypatch):
    monkeypatch.setenv(backends.VARIABLE, "cuda")
    with pytest.raises(ValueError, match=r"SKWAKESLEEP_LOOPS must be 'auto', 'numpy' or 'numba', got 'cuda'"):
        backends.default_backend()


def test_without_numba_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setenv(backends.VARIABLE, "numba")
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delitem(sys.modules, "skwakesleep._engine.arrays.numba_backend", raising=False)
    monkeypatch.delattr("skwakesleep._engine.arrays.numba_backend", raising=False)
    with pytest.raises(ImportError, match=r"pip install 'skwakesleep\[fast\]'"):
        backends.default_backend()
