"""Real columns as in users' tables: constant, rounded, in clusters, with outliers, in streams."""

import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from skwakesleep import HelmholtzMachine

CORRELATED = np.array([[1, 0.9, 0.5], [0, 0.4, 0.2], [0, 0, 0.5]])


def machine(n_units=6, **options):
    return HelmholtzMachine(
        n_units, **{"max_iter": 20, "tol": None, "random_state": 0, "visible": "gaussian", **options}
    )


def correlated(n_rows, seed):
    return np.random.default_rng(seed).normal(size=(n_rows, 3)) @ CORRELATED


# ---------------------------------------------------------------------- constant columns

CONTAINERS = {"C": np.ascontiguousarray, "Fortran": np.asfortranarray, "CSR": sparse.csr_array}


@pytest.mark.parametrize(("container", "dtype"), [("C", np.float64), ("Fortran", np.float32), ("CSR", np.float32)])
def test_a_constant_column_adds_a_constant_to_scores(container, dtype):
    """It does not affect other columns. A slightly different value is about as likely, a distant one possible."""
    real = np.random.default_rng(0).normal(size=(1000, 1)).astype(dtype)
    X = np.column_stack([real, np.full(1000, 0.1)]).astype(dtype)
    alone, fitted = machine().fit(real), machine().fit(CONTAINERS[container](X))
    added = fitted.score_samples(CONTAINERS[container](X)) - alone.score_samples(real)
    assert abs(added.mean()) < 5
    assert added.std() < 0.1
    near, far = (np.array([[0, value]], dtype) for value in (0.10001, 0.2))
    assert fitted.score(near) == pytest.approx(fitted.score(X[:1] * [0, 1]), abs=0.01)
    assert -1000 < fitted.score(far) < fitted.score(near) - 10


def test_a_fold_whose_column_is_constant_in_training_has_a_score():
    X = np.random.default_rng(0).normal(size=(300, 2))
    X[:, 1] = 0.1
    X[17, 1] = 0.2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = cross_val_score(machine(), X, cv=3)
    assert (scores > -100).all()


def test_a_small_spread_far_from_zero_is_not_constant():
    """Values of 1.7 billion plus or minus 500 have a spread near the resolution of single precision."""
    column = np.random.default_rng(0).normal(size=(1000, 1))
    X = (1.7e9 + 500 * column).astype(np.float32)
    expected = machine().fit(column).score(column) - np.log(500)
    assert machine().fit(X).score(X) == pytest.approx(expected, abs=0.2)


# ---------------------------------------------------------------------- clusters and outliers


def clusters(n_rows, n_columns, seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n_rows, n_columns)) + 1e4 * (np.arange(n_rows) % 2)[:, np.newaxis]


@pytest.mark.statistical
def test_clusters_far_apart_keep_their_width():
    X, fresh = clusters(1000, 3, 0), clusters(1000, 3, 1)
    fitted = machine(max_iter=80, autoregressive="prior").fit(X)
    mixture = GaussianMixture(2, random_state=0).fit(X)
    assert fitted.score(fresh) > mixture.score(fresh) - 0.2
    samples = fitted.sample(1000, random_state=0)[:, 0]
    assert np.quantile(abs(samples[samples < 5000]), 0.68) < 2  # one standard deviation


@pytest.mark.statistical
@pytest.mark.parametrize("value", [1e3, 1e6, 1e300])
def test_one_outlier_does_not_flatten_a_table(value):
    X, fresh = correlated(1000, 0), correlated(1000, 1)
    clean = machine().fit(X).score(fresh)
    X[17, 1] = value
    with pytest.warns(UserWarning, match="1 extreme values, more than 30 interquartile ranges .* in column 1"):
        fitted = machine().fit(X)
    assert fitted.score(fresh) > clean - 0.5
    assert np.isfinite(fitted.lower_bounds_).all()
    assert np.isfinite(fitted.transform(X)).all()
    assert fitted.score_samples(X[17:18]) < -1e4


@pytest.mark.statistical
def test_one_outlier_does_not_decide_when_to_stop():
    X = correlated(600, 0)
    X[17, 1] = 1e6
    options = {"early_stopping": True, "validation_fraction": 0.5, "max_iter": 60}
    with pytest.warns(UserWarning, match="extreme"):
        fits = [machine(**options).set_params(random_state=seed).fit(X) for seed in range(2)]
    for fitted in fits:  # the outlier is in one of the two halves in each
        assert fitted.validation_scores_[-1] > -1e3
        assert fitted.score(correlated(1000, 1)) > -4


def test_a_stream_warns_of_extreme_values_once():
    X = correlated(600, 0)
    X[17, 1] = 1e6
    stream = machine().partial_fit(X[300:])
    with pytest.warns(UserWarning, match="extreme"):
        stream.partial_fit(X[:300])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stream.partial_fit(X[300:])


@pytest.mark.statistical
def test_scores_of_rounded_values_are_bounded():
    """Without a smallest variance, the densities of one-hot columns and of three rows would grow without bound."""
    rng = np.random.default_rng(0)
    X = np.column_stack([np.eye(3)[rng.integers(3, size=500)], rng.normal(size=(500, 2))])
    truth = -np.log(3) - 2 * 1.42
    # A normal density as wide as a step of one gives 0.33 nats more than the step's probability.
    assert machine(max_iter=100).fit(X).score(X) < truth + 3 * 0.33 + 0.2
    three = rng.normal(size=(3, 5))
    assert machine(max_iter=100).fit(three).score(three) < 2


# ---------------------------------------------------------------------- streams


@pytest.mark.statistical
def test_a_first_row_does_not_fix_the_units():
    X, fresh = (1000 + 1000 * correlated(1000, seed) for seed in (0, 1))
    stream = machine().partial_fit(X[:1])
    for _ in range(30):
        stream.partial_fit(X)
    assert stream.score(fresh) > machine(max_iter=30).fit(X).score(fresh) - 0.3


@pytest.mark.statistical
def test_a_wrong_first_row_does_not_fix_the_units():
    X, fresh = correlated(1000, 0), correlated(1000, 1)
    with pytest.warns(UserWarning, match="extreme"):
        stream = machine().partial_fit(X[:1] + 1e7).partial_fit(X)
    for _ in range(30):
        stream.partial_fit(X)
    assert stream.score(fresh) > machine(max_iter=30).fit(X).score(fresh) - 0.3


@pytest.mark.statistical
def test_a_first_batch_of_one_regime_does_not_fix_the_units():
    X, fresh = (np.random.default_rng(seed).permutation(clusters(1000, 2, seed)) for seed in (0, 1))
    order = np.argsort(X[:, 0])
    stream = machine().partial_fit(X[order[:5]])
    for _ in range(40):
        stream.partial_fit(X)
    assert stream.score(fresh) > machine(max_iter=40).fit(X).score(fresh) - 1


# ---------------------------------------------------------------------- values of extreme size


@pytest.mark.parametrize(("dtype", "value"), [(np.float32, 1e36), (np.float64, 1.7e308), (np.float64, -1.7e308)])
def test_the_largest_values_give_no_nan(dtype, value):
    X = (correlated(40, 0) * 1e-3).astype(dtype)
    fitted = machine(20).fit(X)
    row = np.full((1, 3), value, dtype)
    assert np.isfinite(fitted.transform(row)).all()
    probabilities = fitted.set_params(output="means").transform(row)
    assert ((probabilities >= 0) & (probabilities <= 1)).all()
    assert np.isfinite(fitted.score(row))


@pytest.mark.filterwarnings("ignore:X holds 3 extreme values")  # the row of another scale
@pytest.mark.parametrize("factor", [1e-300, 1e300])
def test_a_warm_start_in_other_units(factor):
    X = correlated(40, 0)
    fitted = machine(max_iter=2, warm_start=True).fit(X * factor).fit(X)
    assert np.isfinite(fitted.score(X))
    assert np.isfinite(fitted.fit(X / factor).sample(100, random_state=0)).all()
    stream = machine().partial_fit(X[:1]).partial_fit(X * factor)
    assert np.isfinite(stream.score(X * factor))


def test_samples_of_the_largest_columns_are_finite():
    X = correlated(40, 0)
    X *= 5e307 / abs(X).max()
    fitted = machine().fit(X)
    for dtype in np.float64, np.float32:
        far = np.full((1, 3), 1e6, dtype)
        assert np.isfinite(fitted._fitted.machine.columns.decode(far)).all()


def test_columns_too_wide_for_float64_are_named():
    X = correlated(40, 0)
    X[:, 1] *= 1.7e308 / abs(X[:, 1]).max()
    with pytest.raises(ValueError, match="Values of column 1 of X are too far apart"):
        machine().fit(X)


@pytest.mark.parametrize("parameters", [{"learning_rate_init": 1e300}, {"solver": "sgd", "learning_rate_init": 1e300}])
def test_a_last_step_that_diverges_raises_an_error(parameters, binary):
    fitted = HelmholtzMachine(20, max_iter=1, tol=None, random_state=0, **parameters)
    with pytest.raises(ValueError, match="diverged"):
        fitted.fit(binary)
    assert np.isfinite(fitted.score(binary))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_strongest_penalty_leaves_no_weights(dtype, binary):
    fitted = HelmholtzMachine(4, alpha=1e300, max_iter=20, tol=None, random_state=0).fit(binary.astype(dtype))
    assert np.isfinite(fitted.score(binary))
    assert abs(fitted.components_).max() < 0.5


# ---------------------------------------------------------------------- kinds


def test_values_that_a_scaler_leaves_slightly_outside_are_probabilities():
    """Of five folds, scaled to the unit interval, some have a maximum of 1 + 2e-16."""
    X = load_breast_cancer().data
    pipeline = make_pipeline(MinMaxScaler(clip=True), HelmholtzMachine(5, max_iter=2, tol=None, random_state=0))
    assert np.isfinite(cross_val_score(pipeline, X, cv=5)).all()
    excess = np.array([[0, 1 + 3e-16], [1, -3e-16], [0.5, 0.5]])
    fitted = HelmholtzMachine(2, max_iter=2, tol=None).fit(excess)
    assert set(fitted.visible_) == {"bernoulli"}
    assert fitted.score(excess) <= 0
    tiny = correlated(40, 0) * 1e-30  # negative control: values slightly below zero
    assert set(HelmholtzMachine(2, max_iter=2, tol=None).fit(tiny).visible_) == {"gaussian"}


def test_the_error_for_values_outside_says_how_to_clip_them():
    fitted = HelmholtzMachine(2, max_iter=2, tol=None, random_state=0).fit(np.random.default_rng(0).random((20, 2)))
    with pytest.raises(
        ValueError, match=r"holds -0\.0038\..* MinMaxScaler\(clip=True\).* another fold|folds"
    ) as caught:
        fitted.score([[0.5, -0.0038]])
    assert "float64" not in str(caught.value)


def test_a_kind_that_depends_on_few_values_gives_a_warning():
    X = np.random.default_rng(0).integers(2, size=(1000, 20)).astype(float)
    X[3, 4], X[700, 0] = 2, 3
    with pytest.warns(UserWarning, match="because of 2 of 20000 values, .* the first is 3 in column 0"):
        HelmholtzMachine(2, max_iter=1, tol=None).fit(X)


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_columns_of_other_kinds_give_a_warning(container):
    rng = np.random.default_rng(0)
    flag, count, real = rng.integers(2, size=200), rng.poisson(4, size=200), rng.normal(size=200)
    X = container(np.column_stack([real, flag, count, real]).astype(float))
    with pytest.warns(UserWarning, match="also column 1 with two values and column 2 with whole numbers") as caught:
        HelmholtzMachine(2, max_iter=1, tol=None).fit(X)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        machine(2, max_iter=1).fit(X)  # no warning if the kind is set
        HelmholtzMachine(2, max_iter=1, tol=None).fit(np.column_stack([real, real, np.full(200, 3.0)]))
        HelmholtzMachine(2, max_iter=1, tol=None).fit((1.7e9 + 500 * real[:, np.newaxis]).astype(np.float32))


def test_warnings_name_the_columns():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(correlated(100, 0), columns=list("abc"))
    frame.loc[17, "b"] = 1e6
    with pytest.warns(UserWarning, match="1 extreme values, .* in column 'b'"):
        machine(2, max_iter=1).fit(frame)
    with pytest.warns(UserWarning, match="X holds no value in column 'c': nothing can be learned of it"):
        machine(2, max_iter=1).fit(frame.assign(b=0.0, c=np.nan))


def test_the_kinds_of_a_frame_give_no_warning():
    """Each column has its own kind, so that zeros and ones, counts and real values are not mistaken for each other."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(load_digits().data[:200, 18:22], columns=list("abcd")).assign(b=0.5, c=[0, 1] * 100)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted = HelmholtzMachine(2, max_iter=1, tol=None).fit(frame)
    assert fitted.visible_.tolist() == ["count", "continuous", "bernoulli", "count"]


def test_missing_values_are_not_counted_as_zeros_in_warnings():
    X = np.random.default_rng(0).normal(size=(40, 2))
    X[:, 1] = np.where(X[:, 1] > 0, 5.0, np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        HelmholtzMachine(2, max_iter=1, tol=None).fit(X)
