"""The outlier detector: scikit-learn's checks, p-values in closed form, densities of every kind, and tables."""

import pickle

import numpy as np
import pytest
from scipy import sparse
from scipy.stats import chi2, ks_2samp
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks, get_tags

from skwakesleep import AmortisedWakeSleep, DensityOutlierDetector, HelmholtzMachine
from skwakesleep.models import LatentFactors
from skwakesleep.reference import ChowLiuTree, IndependentColumns, LatentClasses
from tests.every_check import every_check
from tests.test_covariates import Panel, Ragged, panel

pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")


class Normal(BaseEstimator):
    """Normal columns, some of which may be missing."""

    def __init__(self, mean=0.0):
        self.mean = mean

    def fit(self, X, y=None):
        if np.isinf(self.mean):
            raise ValueError("the mean is infinite")
        self.n_features_in_ = X.shape[1]
        return self

    def score_samples(self, X):
        return -0.5 * np.nansum((X - self.mean) ** 2 + np.log(2 * np.pi), axis=1, where=~np.isnan(X))

    def sample(self, n_samples=1, random_state=None):
        return self.mean + random_state.standard_normal((n_samples, self.n_features_in_))


class Unsampled(BaseEstimator):
    """A kernel density that cannot be sampled."""

    def __init__(self, bandwidth=1.0):
        self.bandwidth = bandwidth

    def fit(self, X, y=None):
        self._kernels = KernelDensity(bandwidth=self.bandwidth).fit(X)
        return self

    def score_samples(self, X):
        return self._kernels.score_samples(X)


def detector(density=None, **parameters):
    return DensityOutlierDetector(Normal() if density is None else density, **{"random_state": 0, **parameters})


def machine(**parameters):
    return HelmholtzMachine(3, **{"max_iter": 5, "tol": None, **parameters})


def rows(n_rows=200, n_columns=2, seed=0):
    return np.random.default_rng(seed).normal(size=(n_rows, n_columns))


# ---------------------------------------------------------------------- scikit-learn's checks


@every_check(
    [
        # Dreams of a mixture, which returns the components with them and has its own seed.
        DensityOutlierDetector(GaussianMixture()),
        # A share of the training rows, with dreams and without. A machine takes sparse tables; frames and arrays have
        # the same kind of columns.
        DensityOutlierDetector(machine(max_iter=2, visible="gaussian"), contamination=0.1, n_dreams=99),
        DensityOutlierDetector(make_pipeline(StandardScaler(), KernelDensity()), contamination=0.1),
    ]
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_configuration_passes(estimator, check):
    check(estimator)


def test_invalid_parameters_are_reported_as_scikit_learn_does():
    estimator_checks.check_param_validation("DensityOutlierDetector", DensityOutlierDetector(GaussianMixture()))


# ---------------------------------------------------------------------- p-values and thresholds


@pytest.mark.statistical
def test_p_values_of_a_known_density_are_those_of_chi_square():
    fitted = detector(n_dreams=20_000).fit(rows(30, 3))
    X = np.linspace(0, 2.5, 12)[:, np.newaxis] * np.ones(3)
    exact = chi2.sf((X**2).sum(axis=1), 3)
    error = np.sqrt(exact * (1 - exact) / 20_000)
    assert (abs(fitted.p_values(X) - exact) < 4 * error + 1e-4).all()


@pytest.mark.statistical
def test_false_alarms_of_the_true_density_are_as_many_as_documented():
    fitted = detector(n_dreams=20_000).fit(rows(30, 3))
    assert abs((fitted.predict(rows(20_000, 3, seed=1)) == -1).mean() - 0.05) < 0.006


@pytest.mark.parametrize("n_dreams", [19, 20, 99, 1000])
def test_a_row_counts_as_one_more_dream(n_dreams):
    p_values = detector(n_dreams=n_dreams).fit(rows()).p_values(np.array([[0.0, 0.0], [50.0, 50.0]]))
    assert p_values.tolist() == [1.0, 1 / (n_dreams + 1)]


@pytest.mark.parametrize("n_dreams", [19, 20, 38, 39, 99, 1000])
def test_outliers_by_default_are_rows_with_low_p_values(n_dreams):
    fitted = detector(n_dreams=n_dreams).fit(rows())
    # Among the rows are some whose score is that of a dream.
    scores = np.concatenate([fitted.reference_scores_, fitted.reference_scores_ - 1e-9])
    X = np.sqrt(-2 * scores - 2 * np.log(2 * np.pi))[:, np.newaxis] * [1.0, 0.0]
    assert ((fitted.predict(X) == -1) == (fitted.p_values(X) <= 0.05)).all()
    assert (fitted.predict(X) == -1).any()


@pytest.mark.parametrize("contamination", [0.01, 0.1, 0.33, 0.5])
def test_a_share_of_the_training_rows_is_below_the_threshold(contamination):
    X = rows()
    fitted = detector(contamination=contamination).fit(X)
    assert (fitted.predict(X) == -1).sum() == round(200 * contamination)
    np.testing.assert_array_equal(fitted.decision_function(X), fitted.score_samples(X) - fitted.offset_)
    np.testing.assert_array_equal(fitted.fit_predict(X), fitted.predict(X))


# ---------------------------------------------------------------------- held-out rows


@pytest.mark.parametrize("cv", [4, KFold(3, shuffle=True, random_state=0), [(np.arange(100), np.arange(100, 200))]])
def test_reference_scores_are_those_of_held_out_rows(cv):
    X = rows()
    fitted = detector(Unsampled(0.3), cv=cv).fit(X)
    folds = KFold(4).split(X) if cv == 4 else cv.split(X) if isinstance(cv, KFold) else cv
    expected = [Unsampled(0.3).fit(X[train]).score_samples(X[held_out]) for train, held_out in folds]
    np.testing.assert_array_equal(fitted.reference_scores_, np.sort(np.concatenate(expected)))
    np.testing.assert_array_equal(fitted.score_samples(X), Unsampled(0.3).fit(X).score_samples(X))
    assert ((fitted.predict(X) == -1) == (fitted.p_values(X) <= 0.05)).all()


@pytest.mark.statistical
@pytest.mark.parametrize("contamination", ["auto", 0.05])
def test_held_out_rows_keep_the_share_of_false_alarms_of_a_flexible_density(contamination):
    X, others = rows(400, 3), rows(5000, 3, seed=1)
    narrow = KernelDensity(bandwidth=0.2)
    without = detector(narrow, contamination=0.05).fit(X)
    with_cv = detector(narrow, contamination=contamination, cv=10).fit(X)
    assert (without.predict(others) == -1).mean() > 0.5
    assert abs((with_cv.predict(others) == -1).mean() - 0.05) < 0.03


def test_too_few_held_out_rows_for_a_level_are_rejected():
    with pytest.raises(ValueError, match=r"at least 19 held-out rows.*Got 18"):
        detector(cv=2).fit(rows(18))
    detector(cv=2, contamination=0.1).fit(rows(18))


# ---------------------------------------------------------------------- densities


def test_a_density_without_samples_needs_a_share_or_held_out_rows():
    X = rows()
    with pytest.raises(AttributeError, match=r"contamination='auto'.*Unsampled\(\) has no `sample`.*Set cv"):
        detector(Unsampled()).fit(X)
    fitted = detector(Unsampled(), contamination=0.1).fit(X)
    assert (fitted.predict(X) == -1).sum() == 20
    assert fitted.reference_scores_ is None
    assert not hasattr(fitted, "p_values")
    with pytest.raises(AttributeError) as raised:
        fitted.p_values(X)
    assert "Unsampled() has no `sample`" in str(raised.value.__cause__)
    assert hasattr(fitted.set_params(cv=3).fit(X), "p_values")


@pytest.mark.parametrize(
    "density",
    [
        None,
        machine(),
        GaussianMixture(2),
        KernelDensity(),
        IndependentColumns(),
        LatentClasses(2),
        AmortisedWakeSleep(LatentFactors(2, 1), n_sleep=100, max_iter=30),
    ],
    ids=lambda density: type(density).__name__,
)
@pytest.mark.filterwarnings("ignore:The regression predicts no better:UserWarning")
def test_every_density_detects_a_far_row_and_has_one_seed(density, monkeypatch):
    monkeypatch.setattr(
        HelmholtzMachine.__init__,
        "__kwdefaults__",
        {**HelmholtzMachine.__init__.__kwdefaults__, "max_iter": 5, "tol": None},
    )
    X = rows() @ [[1.0, 0.8], [0.0, 0.6]]
    fitted, again = (DensityOutlierDetector(density, n_dreams=99, random_state=7).fit(X) for _ in range(2))
    assert fitted.predict([[20.0, -20.0], [0.0, 0.0]]).tolist() == [-1, 1]
    assert fitted.p_values([[20.0, -20.0]])[0] == 0.01
    np.testing.assert_array_equal(fitted.reference_scores_, again.reference_scores_)
    assert fitted.n_features_in_ == 2


def test_seeds_that_are_set_stay():
    pair = make_pipeline(machine(random_state=3), GaussianMixture())
    parts = DensityOutlierDetector(pair, contamination=0.1, random_state=0).fit(rows()).density_
    assert parts[0].random_state == 3
    assert isinstance(parts[1].random_state, int)
    assert detector(pair, contamination=0.1, random_state=None).fit(rows()).density_[1].random_state is None
    assert pair[1].random_state is None


def test_binary_reference_density():
    X = (np.random.default_rng(0).random((200, 5)) < [0.1, 0.2, 0.1, 0.9, 0.1]).astype(float)
    fitted = detector(ChowLiuTree()).fit(X)
    assert fitted.p_values([[1, 1, 1, 0, 1], [0, 0, 0, 1, 0]]) == pytest.approx([0.002, 1], abs=0.002)


def test_dreams_of_a_model_with_covariates_are_those_of_the_rows():
    X = panel(200)
    fitted = detector(AmortisedWakeSleep(Panel(), n_sleep=200, max_iter=50)).fit(X)
    assert (fitted.predict(X) == -1).mean() < 0.15
    slope = fitted.density_.params_["slope"]
    far = [[2 * slope] * 3 + [2.0], [2 * slope] * 3 + [-2.0]]
    assert fitted.predict(far).tolist() == [1, -1]


# ---------------------------------------------------------------------- tables


def wines(n_rows=120):
    rng = np.random.default_rng(0)
    color = rng.choice(["red", "white"], n_rows)
    alcohol = np.where(color == "red", 13.0, 10.0) + 0.3 * rng.normal(size=n_rows)
    table = {"color": color, "alcohol": alcohol.round(2), "bottles": rng.poisson(3, n_rows), "sweet": alcohol > 11}
    return pd.DataFrame(table).astype({"sweet": object})


def with_holes(table, share=0.2):
    return table.mask(np.random.default_rng(1).random(table.shape) < share)


@pytest.mark.parametrize("cv", [None, 3])
@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("change", [lambda table: table, with_holes], ids=["complete", "holes"])
def test_tables_of_words(change, library, cv):
    table = change(wines())
    table = table if library == "pandas" else pl.from_pandas(table)
    fitted = detector(machine(), cv=cv).fit(table)
    assert fitted.feature_names_in_.tolist() == ["color", "alcohol", "bottles", "sweet"]
    assert fitted.n_features_in_ == 4
    assert set(np.unique(fitted.predict(table))) <= {-1, 1}


@pytest.mark.parametrize("density", [GaussianMixture(), machine()], ids=["mixture", "machine"])
@pytest.mark.parametrize("library", [pd, pl], ids=["pandas", "polars"])
def test_dreams_have_the_names_of_the_columns(density, library):
    detector(density).fit(library.DataFrame({"a": rows()[:, 0], "b": rows()[:, 1]}))  # a warning would be an error


@pytest.mark.parametrize(
    "convert",
    [np.asarray, np.ndarray.tolist, lambda X: X.astype(object), sparse.csc_array, sparse.coo_array],
    ids=["array", "list", "objects", "csc", "coo"],
)
def test_containers_give_equal_results(convert):
    X = (rows(60, 4) > 1).astype(float)
    expected = detector(machine(visible="bernoulli")).fit(X)
    fitted = detector(machine(visible="bernoulli")).fit(convert(X))
    assert fitted.offset_ == expected.offset_
    np.testing.assert_array_equal(fitted.p_values(convert(X)), expected.p_values(X))


@pytest.mark.statistical
def test_dreams_have_the_missing_cells_of_the_rows():
    def incomplete(n_rows, seed):
        X = rows(n_rows, 4, seed)
        X[np.arange(n_rows) % 3 == 0, 1:] = np.nan
        return X

    fitted = detector(n_dreams=5000).fit(incomplete(300, 0))
    scores = fitted.score_samples(incomplete(6000, 1))
    assert ks_2samp(scores, fitted.reference_scores_).pvalue > 0.001
    assert ks_2samp(fitted.score_samples(rows(6000, 4)), fitted.reference_scores_).pvalue < 1e-9


def test_tags_are_those_of_the_density():
    assert get_tags(DensityOutlierDetector()).input_tags == get_tags(HelmholtzMachine()).input_tags
    assert not get_tags(detector(GaussianMixture())).input_tags.allow_nan
    assert not get_tags(detector(machine(visible="categorical"))).input_tags.sparse
    assert get_tags(DensityOutlierDetector()).estimator_type == "outlier_detector"


# ---------------------------------------------------------------------- use


def test_copies_and_pickles_give_equal_results():
    X = rows()
    fitted = detector(machine()).fit(X)
    for copy in pickle.loads(pickle.dumps(fitted)), clone(fitted).fit(X):
        np.testing.assert_array_equal(copy.p_values(X), fitted.p_values(X))
    assert not hasattr(clone(fitted), "density_")


def test_grid_search_and_pipeline():
    X = np.concatenate([rows(100), rows(20, seed=1) + 4])
    y = np.repeat([1, -1], [100, 20])
    detecting = make_pipeline(StandardScaler(), detector(GaussianMixture()))
    grid = {"densityoutlierdetector__density__n_components": [1, 2]}
    search = GridSearchCV(detecting, grid, scoring="roc_auc", cv=KFold(3, shuffle=True, random_state=0)).fit(X, y)
    assert search.best_params_ == {"densityoutlierdetector__density__n_components": 1}
    assert search.predict([[0.0, 0.0], [40.0, 40.0]]).tolist() == [1, -1]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"density": LinearRegression()}, "density.*implementing 'fit' and 'score_samples'.*LinearRegression"),
        ({"density": AmortisedWakeSleep(Ragged())}, "density.*'score_samples'"),
        ({"density": make_pipeline(StandardScaler(), LinearRegression())}, "density.*'score_samples'"),
        ({"contamination": 0.0}, "contamination"),
        ({"contamination": 0.6}, "contamination"),
        ({"contamination": "none"}, "contamination"),
        ({"n_dreams": 18}, "n_dreams"),
        ({"cv": "five"}, "cv"),
        ({"random_state": -1}, "random_state"),
    ],
)
def test_bad_parameters_are_rejected(parameters, message):
    with pytest.raises(ValueError, match=message):
        detector(**parameters).fit(rows())


def test_scores_that_are_not_finite_are_rejected():
    with pytest.raises(ValueError, match=r"threshold must be finite.*tophat"):
        detector(KernelDensity(kernel="tophat", bandwidth=1e-3), cv=3).fit(rows())


def test_an_unfitted_detector_says_so():
    for method in "predict", "score_samples", "decision_function", "p_values":
        with pytest.raises(NotFittedError, match="DensityOutlierDetector"):
            getattr(DensityOutlierDetector(), method)(rows())


def test_a_failed_fit_changes_nothing():
    fitted = detector(contamination=0.1).fit(rows())
    before = dict(vars(fitted))
    for density in Normal(mean=np.inf), LinearRegression(), Unsampled():
        with pytest.raises((ValueError, AttributeError)):
            fitted.set_params(density=density, contamination="auto").fit(rows())
    parameters = {"density", "contamination"}
    assert {name: value for name, value in vars(fitted).items() if name not in parameters} == {
        name: value for name, value in before.items() if name not in parameters
    }
    assert fitted.predict(rows()).shape == (200,)
