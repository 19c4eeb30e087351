"""Densities of tables with containers, data frames, files, other densities, and scikit-learn's common checks."""

import pickle
from copy import deepcopy

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import check_estimator

from skwakesleep import HelmholtzMachine
from skwakesleep.reference import IndependentColumns, LatentClasses, compare_densities
from tests.every_check import convert_check_data
from tests.reference.tables import ALL_KINDS, DENSITIES, table_of

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def test_sparse_rows_and_single_precision_give_the_same_scores(density):
    X = table_of(["bernoulli"] * 5)
    expected = density.fit(X).score_samples(X)
    assert_allclose(density.fit(sparse.csr_matrix(X)).score_samples(sparse.csr_array(X)), expected, rtol=1e-12)
    assert_allclose(density.fit(X.astype(np.float32)).score_samples(X.astype(np.float32)), expected, rtol=1e-6)
    assert density.score_samples(X.astype(np.float32)).dtype == np.float64


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_data_frames_with_words_and_holes(library, density):
    frames = pytest.importorskip(library)
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=60).tolist()
    words = [None if number > 1 else "high" if number > 0 else "low" for number in numbers]
    frame = frames.DataFrame({"word": words, "number": numbers, "count": rng.poisson(3, size=60)})
    density.fit(frame)
    assert density.visible_.tolist() == ["categorical", "continuous", "count"]
    assert density.feature_names_in_.tolist() == ["word", "number", "count"]
    assert density.probabilities_[0].shape == (len(density.weights_), 2)
    assert density.sample(5, random_state=0).shape == (5, 3)
    other = frames.DataFrame({"word": ["middle", None], "number": [0.5, 0.5], "count": [2, 2]})
    with pytest.raises(ValueError, match=r"'word' of X holds the category 'middle'"):
        density.score_samples(other)
    scores = density.set_params(handle_unknown="missing").score_samples(other)
    assert scores[0] == scores[1]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_components": 0}, "'n_components'"),
        ({"smoothing": 0}, r"'smoothing'.*\(0.0, inf\)"),
        ({"visible": "poisson"}, "'visible'"),
        ({"visible": ["count", "poisson"]}, "'poisson'"),
        ({"handle_unknown": "ignore"}, "'handle_unknown'"),
    ],
)
def test_invalid_parameters_are_rejected(parameters, message):
    with pytest.raises(ValueError, match=message):
        LatentClasses(**parameters).fit(np.ones((5, 2)))


def parts_of(state):
    """Yield all objects of a state."""
    yield state
    if isinstance(state, dict | list | tuple):
        for part in state.values() if isinstance(state, dict) else state:
            yield from parts_of(part)


def test_files_hold_plain_types_and_restore_the_density(fitted):
    X = table_of(fitted.visible)
    plain = (dict, list, tuple, str, int, float, bool, np.ndarray, np.generic, type(None))
    assert all(isinstance(part, plain) for part in parts_of(fitted.__getstate__()))
    loaded = pickle.loads(pickle.dumps(fitted))
    assert_array_equal(loaded.score_samples(X), fitted.score_samples(X))


@pytest.mark.parametrize(
    "damage",
    [
        {"_cells": np.ones((3, 2))},
        {"_cells": np.full((3, 1), np.nan)},
        {"weights_": np.ones(2) / 2},
        {"weights_": np.full(3, np.nan)},
        {"_columns": None},
        {"n_features_in_": 5},
        {"_means": "many"},
    ],
    ids=str,
)
def test_damaged_files_are_rejected(damage):
    state = LatentClasses(3, visible=ALL_KINDS, random_state=0).fit(table_of(ALL_KINDS)).__getstate__()
    with pytest.raises(ValueError, match="A saved LatentClasses is damaged"):
        LatentClasses().__setstate__(state | damage)


def test_a_damaged_description_of_the_columns_is_rejected():
    state = deepcopy(IndependentColumns(visible=ALL_KINDS).fit(table_of(ALL_KINDS)).__getstate__())
    state["_columns"]["blocks"]["count"]["columns"] = np.array([0])  # also in another block
    with pytest.raises(ValueError, match="A saved IndependentColumns is damaged: the blocks are not of 6 columns"):
        IndependentColumns().__setstate__(state)


def test_a_column_without_values_is_reported(density):
    X = np.column_stack([table_of(["count"] * 2), np.full(300, np.nan)])
    with pytest.warns(UserWarning, match="X holds no value in column 2"):
        density.set_params(visible="count").fit(X)


def test_comparison_with_machines():
    X = table_of(ALL_KINDS, 200)
    machine = HelmholtzMachine(2, visible=ALL_KINDS, max_iter=2, tol=None, random_state=0).fit(X)
    densities = {
        "machine": machine,
        "independent": IndependentColumns(visible=ALL_KINDS).fit(X),
        "classes": LatentClasses(2, visible=ALL_KINDS, random_state=0).fit(X),
    }
    table = compare_densities(densities, X, reference="independent")
    assert table["difference"][table["density"].tolist().index("classes")] > 0.5
    counts = {"counts": IndependentColumns(visible="count").fit(np.ones((9, 6)))}
    with pytest.raises(ValueError, match="log-densities"):
        compare_densities(densities | counts, X)


# Each runs code that the others do not.
CHECKED = {
    "independent": DENSITIES["independent"],
    "default": LatentClasses(random_state=0),
    "intervals": LatentClasses(2, visible="continuous", random_state=0),
    "categories": LatentClasses(2, visible="categorical", handle_unknown="missing", random_state=0),
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.parametrize("name", CHECKED)
def test_check_estimator_passes(name):
    results = check_estimator(clone(CHECKED[name]))
    assert {result["check_name"] for result in results if result["status"] != "passed"} <= {"check_array_api_input"}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.parametrize("name", ["independent", "three classes"])
def test_check_estimator_passes_with_values_between_zero_and_one(name, monkeypatch):
    convert_check_data(monkeypatch, lambda X: (X - X.min()) / max(X.max() - X.min(), 1))
    results = check_estimator(clone(DENSITIES[name]))
    assert {result["check_name"] for result in results if result["status"] != "passed"} <= {"check_array_api_input"}


@pytest.mark.parametrize("check", ["check_dataframe_column_names_consistency", "check_param_validation"])
def test_check_not_run_by_check_estimator_passes(check, density):
    getattr(estimator_checks, check)(type(density).__name__, density)
