"""Diagnostics of black-box fits: against closed forms, on right and wrong models, and on models of every kind."""

import pickle
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from sklearn.exceptions import NotFittedError

from skwakesleep import AmortisedWakeSleep, HelmholtzMachine, datasets
from skwakesleep._adapters.amortised import problem
from skwakesleep._engine.amortised import diagnosis
from skwakesleep._engine.amortised.discrepancy import Discrepancies, column_statistics
from skwakesleep._engine.amortised.dreams import FailedSimulationsError
from skwakesleep._engine.amortised.row_scores import RegressedScores
from skwakesleep.inspection import check_convergence, check_regression, compare_with_dreams, recover_parameters
from skwakesleep.inspection._fits import parameter_labels
from skwakesleep.models import Covariance, LatentFactors, Positive, Real
from skwakesleep.simulators import BlowflyDynamics
from tests.amortised import factor_data, quick
from tests.test_covariates import VALUES, Panel, panel


class Levels:
    """Three measurements with a random level. Its likelihood is known here, but not to the estimator."""

    n_features = 3

    def __init__(self, mean=0.0, between=1.0, within=1.0):
        starts = {"mean": mean, "between": between, "within": within}
        self.parameters = {name: (Real if name == "mean" else Positive)(start=start) for name, start in starts.items()}

    def sample(self, params, n, rng):
        z = params.mean + params.between * rng.standard_normal(n)
        return z, z[:, np.newaxis] + params.within * rng.standard_normal((n, 3))

    def log_joint(self, params, z, x):
        within = (-0.5 * ((x - z[:, np.newaxis]) / params.within) ** 2 - np.log(params.within)).sum(axis=1)
        return within - 0.5 * ((z - params.mean) / params.between) ** 2 - np.log(params.between)


def log_likelihood(X, mean, between, within):
    covariance = between**2 * np.ones((3, 3)) + within**2 * np.eye(3)
    return stats.multivariate_normal(np.full(3, mean), covariance).logpdf(X).mean()


def maximum_likelihood(X):
    """Return the estimates in closed form, by the variances of the mean of a row and within rows."""
    within = np.sqrt(X.var(axis=1, ddof=1).mean())
    return X.mean(), np.sqrt(X.mean(axis=1).var() - within**2 / 3), within


def levels_data(n=500, scale=1.0, seed=0):
    rng = np.random.default_rng(seed)
    return scale * (1 + 1.5 * rng.standard_normal((n, 1)) + 0.7 * rng.standard_normal((n, 3)))


def at_start(model, X, **parameters):
    """Return an estimator whose parameters are those that the model starts with."""
    settings = {"n_sleep": 200, "max_iter": 1, "learning_rate_init": 1e-12, "random_state": 0}
    return AmortisedWakeSleep(model, **(settings | parameters)).fit(X)


def exact_factors(**parameters):
    """Return factor analysis that is fitted by its exact gradient, in milliseconds."""
    settings = {"gradient": "exact", "n_sleep": 2, "max_iter": 50, "learning_rate_init": 0.1, "random_state": 0}
    return AmortisedWakeSleep(LatentFactors(3, 1), **(settings | parameters))


def factors(n=100, seed=0, noise=None):
    """Return rows of one factor and three columns, with normal noise unless there is other noise."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((n, 3)) if noise is None else noise(rng, (n, 3))
    return rng.standard_normal((n, 1)) @ np.array([[1.0, -0.8, 0.6]]) + 0.6 * noise


def heavy(rng, shape):
    return rng.standard_t(2, size=shape)


# ---------------------------------------------------------------------- the estimate of a gain


def test_gain_is_unbiased_and_its_error_is_right():
    rng = np.random.default_rng(0)
    factor = rng.normal(size=(4, 4))
    information, v = factor @ factor.T, np.array([0.5, -0.2, 0.1, 0.4])
    vectors = v + rng.normal(size=(2000, 6, 4)) @ factor.T
    estimates = [diagnosis.Diagnosis(each, 0 * each, information, np.nan, np.zeros(6)).gain(each) for each in vectors]
    gains, errors = np.transpose(estimates)
    true = v @ np.linalg.solve(information, v) / 2
    assert abs(gains.mean() - true) < 4 * gains.std() / np.sqrt(2000)
    assert 0.8 < np.sqrt(np.square(errors).mean()) / gains.std() < 1.5
    plain = np.array([m @ np.linalg.solve(information, m) / 2 for m in vectors.mean(axis=1)])
    assert plain.mean() - true > 20 * plain.std() / np.sqrt(2000)  # with products of a repetition with itself


@pytest.mark.parametrize("form", ["direct", "exponential", "importance", "exact"])
def test_scores_of_single_rows_average_to_their_mean(form):
    X = factor_data()
    fitted = quick(LatentFactors(4, 1), gradient=form).fit(X)
    trained = _problem(fitted, X)
    state, rng = diagnosis.RegressionState(), np.random.default_rng(0)
    scores = RegressedScores(trained, fitted._fitted.theta, form, state, rng)
    assert_allclose(scores.each(trained.rows).mean(axis=0), scores.mean(trained.rows), atol=1e-8)


def _problem(fitted, X):
    fit = fitted._fitted
    return problem(fitted, fit.model, X, fit.state.units, fit.state.regression.form)


# ---------------------------------------------------------------------- is the fit done?


@pytest.mark.statistical
@pytest.mark.parametrize("factor", [(1, 1, 1), (1, 1.25, 1), (1.6, 1, 1), (1, 1, 0.9)])
def test_gain_is_what_the_fit_is_below_maximum_likelihood(factor):
    X = levels_data()
    best = maximum_likelihood(X)
    values = np.multiply(best, factor)
    result = check_convergence(at_start(Levels(*values), X), X, random_state=0)
    gap = log_likelihood(X, *best) - log_likelihood(X, *values)
    assert abs(result.gain - gap) < 3 * result.gain_error + 0.15 * gap
    assert result.gain_error < 0.01
    inside = factor == (1, 1, 1)
    assert (np.abs(result.table["shift"]).max() < 2) == inside
    if not inside:
        changed = np.argmax(np.abs(np.subtract(factor, 1)))
        assert result.table["parameter"][changed] == ["mean", "between", "within"][changed]
        assert np.abs(result.table["shift"]).argmax() == changed
        assert np.sign(result.table["shift"][changed]) == np.sign(1 - factor[changed])


def test_fit_that_stopped_short_warns():
    X = levels_data(100, scale=10)
    settings = {"n_sleep": 100, "max_iter": 200}
    with pytest.warns(UserWarning, match="stopped short.*Raise max_iter"):
        quick(Levels(), **settings).fit(X)
    quick(Levels(mean=10.0, between=12.0, within=10.0), **settings).fit(X)
    with warnings.catch_warnings(record=True) as caught:  # shorter trainings, and parts of one, are not judged
        warnings.simplefilter("always")
        quick(Levels(), n_sleep=100, max_iter=199).fit(X)
        estimator = quick(Levels(), n_sleep=100, max_iter=200)
        for _ in range(2):
            estimator.partial_fit(np.repeat(X, 220, axis=0))
    assert caught == []


def test_check_at_the_end_neither_changes_nor_loses_the_fit(monkeypatch):
    X = levels_data(60)
    fitted = quick(Levels(), n_sleep=50, max_iter=3).fit(X)
    state, trained = fitted._fitted.state, _problem(fitted, X)
    before = pickle.dumps(state)
    gain, error = diagnosis.quick_gain(trained, fitted._fitted.theta, state.regression, np.random.default_rng(0))
    assert np.isfinite([gain, error]).all()
    assert pickle.dumps(state) == before

    def fails(*args):
        raise FailedSimulationsError("planted")

    monkeypatch.setattr(diagnosis.RegressedScores, "mean", fails)
    result = diagnosis.quick_gain(trained, fitted._fitted.theta, state.regression, np.random.default_rng(0))
    assert np.isnan(result).all()
    assert not diagnosis.is_notable(*result, 3, 60)


def test_gradient_of_the_prior_counts():
    X = levels_data()
    best = maximum_likelihood(X)
    model = Levels(*best)
    plain = check_convergence(at_start(model, X), X, random_state=0)
    model.parameters["mean"] = Real(start=best[0], prior=stats.norm(best[0] + 1, 0.1))  # its score is 100
    shifted = check_convergence(at_start(model, X), X, random_state=0)
    expected = 100 / np.sqrt(500) * np.sqrt(best[1] ** 2 + best[2] ** 2 / 3)
    assert_allclose(shifted.table["shift"][0] - plain.table["shift"][0], expected, rtol=0.2)
    assert_allclose(shifted.table["shift"][1:], plain.table["shift"][1:], atol=1)


def test_gradient_across_a_bound_is_left_out():
    class Bounded(LatentFactors):
        def project(self, theta):
            theta[3:6] = np.minimum(theta[3:6], 0.0)  # intercepts, which the data would make positive
            return theta

    X = factors() + 3.0
    theta = np.concatenate([[1.0, -0.8, 0.6], np.zeros(3), np.full(3, np.log(0.6))])
    options = {"gradient": "exact", "n_sleep": 2}
    gains = {}
    for cls in (LatentFactors, Bounded):

        class Start(cls):
            column_units = property()  # so that the start is in the units of the columns

            def initial_params(self, X, rng):
                return theta

        gains[cls] = check_convergence(at_start(Start(3, 1), X, **options), X, random_state=0)
    assert_array_equal(gains[Bounded].table["shift"][3:6], 0)
    assert_allclose(gains[LatentFactors].gain_error, 0, atol=1e-9)  # the exact gradient needs no dreams
    assert gains[LatentFactors].gain > gains[Bounded].gain + 1


# ---------------------------------------------------------------------- is the regression good enough?


def test_bias_of_a_crude_regression_is_found():
    X = levels_data()
    best = Levels(*maximum_likelihood(X))
    good = check_regression(at_start(best, X), X, random_state=0)
    assert not good.biased
    assert good.bias < 0.05
    assert 0.9 < good.coverage <= 1
    assert good.loo_error < 1
    crude = at_start(best, X, tune=None, bandwidth=0.02, ridge=1.0)
    found = check_regression(crude, X + 1.0, random_state=0)
    assert found.loo_error > good.loo_error


def test_mean_score_over_dreams_is_the_bias(monkeypatch):
    X, planted = levels_data(), np.array([0.0, 0.0, 1.0])
    fitted = at_start(Levels(*maximum_likelihood(X)), X)
    clean = check_regression(fitted, X, random_state=0), check_convergence(fitted, X, random_state=0)
    mean = diagnosis.RegressedScores.mean
    monkeypatch.setattr(diagnosis.RegressedScores, "mean", lambda self, rows: mean(self, rows) + planted)
    biased = check_regression(fitted, X, random_state=0), check_convergence(fitted, X, random_state=0)
    assert biased[0].biased
    assert biased[0].table["bias"][2] > clean[0].table["bias"][2] + 5
    assert_allclose(biased[1].gain, clean[1].gain, atol=1e-9)  # the bias is subtracted


# ---------------------------------------------------------------------- does the model fit?


def test_statistics_of_columns_with_holes():
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 4)) @ rng.normal(size=(4, 4)) + 5
    X[::3, 0] = X[::4, 2] = np.nan
    found, table = column_statistics(X, list("abcd"), n_covariates=1), pd.DataFrame(X, columns=list("abcd"))
    for name in "abc":
        expected = table[name].mean(), table[name].std(ddof=0), table[name].min(), table[name].max()
        assert_allclose([found[f"{kind} of {name}"] for kind in ("mean", "std", "min", "max")], expected)
    correlations = table.corr()
    for pair in ("ab", "ac", "bc", "ad", "bd", "cd"):
        assert_allclose(found[f"correlation of {pair[0]}, {pair[1]}"], correlations.loc[pair[0], pair[1]])
    assert len(found) == 3 * 4 + 6


def test_adjusted_p_values_are_exact_for_one_more_simulation():
    rng = np.random.default_rng(0)
    adjusted, single = [], []
    for _ in range(500):
        values = rng.standard_normal((40, 12)) ** 3  # skewed in no statistic alike, and with heavy tails
        one, together = Discrepancies(values[0], values[1:]).p_values()
        single.append(one.min())
        adjusted.append(together.min())
    assert 0.02 < np.mean(np.array(adjusted) <= 0.05) < 0.08
    assert np.mean(np.array(single) <= 0.05) > 0.3  # what many statistics do without adjustment


def test_constant_statistics():
    compared = Discrepancies(np.array([1.0, 2.0]), np.ones((9, 2)))
    assert_array_equal(compared.z, [0.0, np.inf])
    single, adjusted = compared.p_values()
    assert_allclose(single, [1.0, 0.1])
    assert_allclose(adjusted, [1.0, 0.1])


@pytest.mark.statistical
def test_right_model_is_accepted_and_wrong_one_rejected():
    def p_value(noise, seed):
        X = factors(seed=seed, noise=noise)
        return compare_with_dreams(exact_factors().fit(X), X, n_data_sets=99, random_state=seed).p_value

    right = np.array([p_value(None, seed) for seed in range(8)])
    assert (right > 0.05).sum() >= 7
    assert max(p_value(heavy, seed) for seed in range(4)) <= 0.05


def test_table_of_statistics():
    X = factors()
    fitted = exact_factors(max_iter=20).fit(X)
    own = {"third": lambda X: (X**3).mean(axis=0), "size": lambda X: np.square(X).sum(axis=1).max()}
    result = compare_with_dreams(fitted, X, statistics=own, n_data_sets=20, random_state=0)
    table = result.table
    assert len(table["statistic"]) == 12 + 3 + 4
    row = dict(zip(table["statistic"], table["data"], strict=True))
    assert_allclose([row["third[1]"], row["size"]], [(X[:, 1] ** 3).mean(), np.square(X).sum(axis=1).max()])
    assert_allclose(row["correlation of x0, x2"], np.corrcoef(X.T)[0, 2])
    assert (np.diff(np.abs(table["z"])) <= 0).all()
    assert (table["p_value"] <= table["p_adjusted"]).all()
    assert result.p_value == table["p_adjusted"].min()
    again = compare_with_dreams(fitted, X, statistics=own, n_data_sets=20, random_state=0)
    assert_array_equal(again.table["dreams"], table["dreams"])


# ---------------------------------------------------------------------- would the method recover the truth?


@pytest.mark.statistical
def test_fit_to_own_dreams_accepts_a_right_model_and_rejects_a_wrong_one():
    right, wrong = (
        recover_parameters(exact_factors().fit(X), X, random_state=0) for X in (factors(seed=1), factors(noise=heavy))
    )
    assert right.p_value > 0.05
    assert wrong.p_value == 0.05  # the smallest that 19 data sets can give
    for result in right, wrong:  # in both cases, the method recovers what it has simulated
        gains = result.refits["score_recovered"] - result.refits["score_fitted"]
        assert (gains > 0).all()
        assert_allclose(gains.mean(), 9 / 200, rtol=0.5)
        intercepts = [name.startswith("intercept") for name in result.table["parameter"]]
        assert result.table["p_adjusted"][intercepts].min() > 0.05


def test_method_that_is_biased_does_not_recover():
    class Biased(LatentFactors):
        def grad_log_likelihood(self, theta, X):
            return super().grad_log_likelihood(theta, X) + np.array([0, 0, 0, 0.5, 0, 0, 0, 0, 0])

    X = factors(n=200)
    estimator = exact_factors().set_params(model=Biased(3, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the likelihood falls
        fitted = estimator.fit(X)
    result = recover_parameters(fitted, X, n_data_sets=6, random_state=0)
    assert result.table["p_adjusted"][result.table["parameter"] == "intercept[0]"] < 0.05
    assert (result.refits["score_recovered"] < result.refits["score_fitted"]).all()


def test_refits_have_the_settings_of_the_estimator_and_are_reproducible():
    X = factors(40)
    fitted = exact_factors(max_iter=5).fit(X)
    first, second = (recover_parameters(fitted, X, n_data_sets=2, n_jobs=n, random_state=1) for n in (None, 1))
    assert_array_equal(first.table["recovered"], second.table["recovered"])
    assert (first.table["recovered_std"] > 0).all()
    assert recover_parameters(fitted, X, n_data_sets=1, random_state=1).table["p_value"].shape == (9,)
    other = recover_parameters(fitted.set_params(max_iter=80), X, n_data_sets=2, random_state=1)
    gain = [(each.refits["score_recovered"] - each.refits["score_fitted"]).mean() for each in (first, other)]
    assert gain[1] > gain[0]


def test_each_data_set_is_compared_with_its_own_fit():
    X = levels_data(50)
    fitted = at_start(Levels(*maximum_likelihood(X)), X, n_sleep=50)
    good = recover_parameters(fitted, X, n_data_sets=2, random_state=0)
    bad = recover_parameters(fitted.set_params(model=Levels(mean=9.0)), X, n_data_sets=2, random_state=0)
    assert good.refits["discrepancy"].max() < 5 < 10 < bad.refits["discrepancy"].min()
    assert_allclose(bad.table["recovered"], [9, 1, 1], rtol=1e-6)
    assert bad.discrepancy == good.discrepancy


# ---------------------------------------------------------------------- models of every kind


def test_covariates_and_holes_are_those_of_the_data():
    X = panel(60)
    fitted = at_start(Panel(), X, n_sleep=100)
    tables = []

    def keep(table):
        tables.append(table)
        return 0.0

    result = compare_with_dreams(fitted, X, statistics={"none": keep}, n_data_sets=3, random_state=0)
    assert len(tables) == 4
    for table in tables:
        assert_array_equal(np.isnan(table), np.isnan(X))
        assert_array_equal(table[:, 3], X[:, 3])
    statistics = list(result.table["statistic"])
    assert "correlation of x0, x3" in statistics
    assert "mean of x3" not in statistics
    assert check_convergence(fitted, X, random_state=0).table["parameter"].tolist() == list(VALUES)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert recover_parameters(fitted, X, n_data_sets=1, random_state=0).refits["n_warnings"] == [0]


def test_series_with_local_factors():
    X = datasets.load_blowfly()[np.newaxis, :40] / 1000
    fitted = quick(BlowflyDynamics(40, 7), n_sleep=60).fit(X)
    assert np.isfinite(check_convergence(fitted, X, random_state=0).gain)
    assert 0 < check_regression(fitted, X, random_state=0).coverage <= 1
    with pytest.raises(ValueError, match="single row, which has no statistics of columns"):
        compare_with_dreams(fitted, X)
    statistics = {"largest": np.max, "mean": np.mean}
    assert len(compare_with_dreams(fitted, X, statistics=statistics, n_data_sets=5).table["z"]) == 2
    recovered = recover_parameters(fitted, X, statistics=statistics, n_data_sets=1, random_state=0)
    assert recovered.table["parameter"][0] == "log_fecundity"


def test_labels_of_parameters():
    class Pairs(Levels):
        def __init__(self):
            self.parameters = {"shape": Covariance(2), "mean": Real(2), "within": Positive()}

        def initial_params(self, X, rng):
            return {"shape": [[1.0, 0.5], [0.5, 1.0]], "mean": np.zeros(2), "within": 1.0}

        def sample(self, params, n, rng):
            return np.zeros(n), rng.standard_normal((n, 3))

        def log_joint(self, params, z, x):
            return -np.square(x - params.mean[0]).sum(axis=1)

    fitted = quick(Pairs(), fixed={"mean": [np.nan, 1.0]}).fit(levels_data(30))
    labels = parameter_labels(fitted._fitted).tolist()
    assert labels == ["theta[0]", "theta[1]", "theta[2]", "mean[0]", "within"]


def test_misuse():
    X = factors(30)
    fitted = exact_factors(max_iter=2).fit(X)
    with pytest.raises(NotFittedError):
        check_convergence(exact_factors(), X)
    with pytest.raises(TypeError, match="must be a fitted AmortisedWakeSleep"):
        check_regression(HelmholtzMachine(2), X)
    with pytest.raises(ValueError, match="3 features"):
        check_convergence(fitted, X[:, :2])
    with pytest.raises(TypeError, match="dict of functions"):
        compare_with_dreams(fitted, X, statistics=[np.mean])
    with pytest.raises(ValueError, match=r"finite numbers.*'bad' is nan"):
        compare_with_dreams(fitted, X, statistics={"bad": lambda X: np.nan})
    with pytest.raises(ValueError, match="one shape"):
        compare_with_dreams(fitted, X, statistics={"some": lambda X: X[X[:, 0] > 0, 0]}, n_data_sets=20)
    with pytest.raises(ValueError, match="n_data_sets must be at least 1"):
        recover_parameters(fitted, X, n_data_sets=0)
