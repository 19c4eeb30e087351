"""scikit-learn's common checks: those of `check_estimator`, and those that it does not run.

Each configuration runs code that the others do not. The comments say which.
"""

import os
import subprocess
import sys

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import check_estimator

from skwakesleep import AmortisedWakeSleep, DensityOutlierDetector, HelmholtzMachine
from skwakesleep._engine.amortised import gradient
from tests.every_check import convert_check_data, every_check

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),  # training is short
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning"),
    pytest.mark.filterwarnings("ignore:The regression predicts no better:UserWarning"),  # constant columns, few rows
]


def machine(hidden_layer_sizes=4, **parameters):
    return HelmholtzMachine(hidden_layer_sizes, **{"max_iter": 5, **parameters})


def amortised(**parameters):
    return AmortisedWakeSleep(**{"n_sleep": 50, "max_iter": 3, "random_state": 0} | parameters)


N_REGRESSED_STEPS = 3  # in place of 100, before importance weights are tried

# warm_start is always False: some checks fit an estimator twice and expect equal results.
CONFIGURATIONS = [
    # One layer and defaults: both recognition updates, Adam, exact likelihoods, `tol` not reached.
    machine(),
    # Two layers, autoregressive weights, a penalty, no `tol`.
    machine((4, 3), autoregressive=("prior", "visible", "hidden", "recognition"), n_particles=10, alpha=0.1, tol=None),
    # The wake-phase update, SGD, rows in order, Gaussian columns by request, too many hidden states for exact
    # likelihoods.
    machine(
        20,
        visible="gaussian",
        n_particles=2,
        recognition_update="wake",
        solver="sgd",
        learning_rate_init=0.001,
        shuffle=False,
        n_score_particles=7,
    ),
    # Intervals, in part of the columns. Kinds that are named by slices suit tables of every width.
    machine(visible={"continuous": slice(0, 1), "gaussian": slice(1, None)}, autoregressive=("prior", "visible")),
    # The sleep-phase update with one particle, early stopping before `max_iter`, mini-batches of one row.
    machine(
        n_particles=1,
        recognition_update="sleep",
        early_stopping=True,
        validation_fraction=0.2,
        tol=1.0,
        n_iter_no_change=1,
        batch_size=1,
        max_iter=2,
    ),
    # A regression of the gradient, and the importance weights that follow it.
    amortised(max_iter=N_REGRESSED_STEPS + 3),
    # A kernel regression on the rows themselves.
    amortised(feature_map=None, gradient="direct"),
    # Additive features, and the gradient of an exponential family.
    amortised(feature_map="additive", gradient="exponential"),
]

UNIT_INTERVAL_CONFIGURATIONS = [
    # Bernoulli columns, found in the data; early stopping.
    machine(early_stopping=True),
    # Bernoulli columns by request, two layers, the sleep-phase update, SGD.
    machine((4, 3), visible="bernoulli", n_particles=1, recognition_update="sleep", solver="sgd"),
]

WHOLE_NUMBER_CONFIGURATIONS = [
    # Cells of whole numbers beside real columns.
    machine(visible={"count": slice(0, None, 2), "continuous": slice(1, None, 2)}),
    # Categories, of which some are unknown in later tables.
    machine(visible={"ordinal": slice(0, 1), "categorical": slice(1, None)}, handle_unknown="missing"),
]

FLOAT32_CONFIGURATIONS = [machine((4, 3), early_stopping=True), amortised()]

CHECKS_NOT_RUN_BY_CHECK_ESTIMATOR = [
    "check_dataframe_column_names_consistency",
    "check_estimators_partial_fit_n_features",
    "check_get_feature_names_out_error",
    "check_global_output_transform_pandas",
    "check_global_set_output_transform_polars",
    "check_inplace_ensure_writeable",
    "check_param_validation",
    "check_set_output_transform",
    "check_set_output_transform_pandas",
    "check_set_output_transform_polars",
    "check_transformer_get_feature_names_out",
    "check_transformer_get_feature_names_out_pandas",
]

# Checks that call the constructor, `get_params`, `set_params` and `repr`, and train once at most.
CHECKS_OF_PARAMETERS = [
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimators_fit_returns_self",
    "check_estimators_unfitted",
    "check_get_params_invariance",
    "check_mixin_order",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_set_params",
    "check_valid_tag_types",
]


def not_passed(estimator):
    """Return the names of the checks that an estimator does not pass, skipped ones included."""
    results = check_estimator(estimator, on_skip=None, on_fail=None)
    # SciPy's support of the array API needs a variable of the environment, which another test sets.
    return {result["check_name"] for result in results if result["status"] != "passed"} - {"check_array_api_input"}


# "auto" gives columns of frames other kinds than those of arrays, and outliers among whole numbers then differ.
DIFFERENT_KINDS = {"check_classifier_data_not_an_array"}

DEFAULT = pytest.mark.parametrize(
    "estimator",
    [HelmholtzMachine(), AmortisedWakeSleep(), DensityOutlierDetector()],
    ids=["machine", "amortised", "outliers"],
)


@DEFAULT
@pytest.mark.parametrize("check", CHECKS_OF_PARAMETERS)
def test_default_estimator_passes_checks_of_parameters(check, estimator):
    getattr(estimator_checks, check)(type(estimator).__name__, clone(estimator))


@DEFAULT
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_default_estimator_passes(estimator):
    """Slow: every fit takes many epochs. The configurations above have fewer."""
    expected = DIFFERENT_KINDS if isinstance(estimator, DensityOutlierDetector) else set()
    assert not_passed(estimator) == expected


def test_checks_pass_with_array_api_support():
    """None is skipped."""
    script = (
        "from sklearn.utils.estimator_checks import check_estimator; from skwakesleep import HelmholtzMachine;"
        "print({result['status'] for result in check_estimator(HelmholtzMachine(4, max_iter=5))})"
    )
    # SciPy reads the variable when it is first imported.
    environment = os.environ | {"SCIPY_ARRAY_API": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-W", "ignore::sklearn.exceptions.ConvergenceWarning", "-c", script]
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout == "{'passed'}\n"


def whole_numbers(X):
    """Return the data of a check as whole numbers from zero on, of the same container."""
    if sparse.issparse(X):
        return abs(X).floor()
    return X if X.dtype == object else np.floor(abs(np.asarray(X)))


@every_check(CONFIGURATIONS)
def test_configuration_passes(estimator, check, monkeypatch):
    monkeypatch.setattr(gradient, "N_REGRESSED_STEPS", N_REGRESSED_STEPS)
    check(estimator)


@every_check(UNIT_INTERVAL_CONFIGURATIONS)
def test_configuration_passes_with_values_between_zero_and_one(estimator, check, monkeypatch):
    convert_check_data(monkeypatch, lambda X: (X - X.min()) / max(X.max() - X.min(), 1))
    check(estimator)


@every_check(WHOLE_NUMBER_CONFIGURATIONS)
def test_configuration_passes_with_whole_numbers(estimator, check, monkeypatch):
    convert_check_data(monkeypatch, whole_numbers)
    check(estimator)


@every_check(FLOAT32_CONFIGURATIONS)
def test_configuration_passes_with_float32(estimator, check, monkeypatch):
    convert_check_data(monkeypatch, lambda X: X if X.dtype == object else X.astype(np.float32))
    check(estimator)


@pytest.mark.parametrize("check", CHECKS_NOT_RUN_BY_CHECK_ESTIMATOR)
@pytest.mark.parametrize("estimator", [machine((4, 3)), amortised()], ids=["machine", "amortised"])
# The checks of `set_output` pair arrays with data frames, which makes scikit-learn warn.
@pytest.mark.filterwarnings("ignore:X (has|does not have valid) feature names:UserWarning")
def test_check_not_run_by_check_estimator_passes(estimator, check):
    getattr(estimator_checks, check)(type(estimator).__name__, estimator)
