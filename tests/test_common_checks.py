"""scikit-learn's own checks: those of `check_estimator`, those it does not call, and those it skips by default."""

import os
import subprocess
import sys

import numpy as np
import pytest
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import check_estimator

from skwakesleep import HelmholtzMachine
from tests.every_check import every_check, feed

# Training is cut short here, and says so.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def quick(hidden_layer_sizes=4, **parameters):
    return HelmholtzMachine(hidden_layer_sizes, **{"max_iter": 5, **parameters})


# No warm start: there are checks that fit one estimator twice and expect the same.
CONFIGURATIONS = [
    quick(),
    quick((4, 3)),
    quick((5, 4, 3), recognition_update="both"),
    quick(n_particles=1, recognition_update="sleep"),
    quick(n_particles=2, recognition_update="wake"),
    quick((4, 3), n_particles=10, recognition_update="both", alpha=0.1),
    quick((4, 2), visible="gaussian", recognition_update="sleep"),
    quick(solver="sgd", learning_rate_init=0.001),
    quick(early_stopping=True, validation_fraction=0.2),
    quick(tol=None),
    quick(tol=1.0, n_iter_no_change=1),
    quick(batch_size=1, max_iter=1),
    quick(20, n_score_particles=7),  # too many latents to enumerate
    quick(shuffle=False, random_state=3),
    quick((4, 3), autoregressive=("prior", "visible", "hidden", "recognition")),
]

UNIT_INTERVAL_CONFIGURATIONS = [
    quick(visible="bernoulli"),
    quick((4, 3), visible="bernoulli", n_particles=1, recognition_update="sleep", solver="sgd"),
    quick(visible="auto", early_stopping=True),
]

FLOAT32_CONFIGURATIONS = [quick(), quick((4, 3), solver="sgd", recognition_update="both"), quick(visible="gaussian")]

UNCALLED_CHECKS = [
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


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_the_default_constructor_passes_every_check():
    results = check_estimator(HelmholtzMachine())
    assert {result["check_name"] for result in results if result["status"] != "passed"} <= {"check_array_api_input"}


def test_the_default_constructor_passes_every_check_with_array_api_support():
    script = (
        "from sklearn.utils.estimator_checks import check_estimator; from skwakesleep import HelmholtzMachine;"
        "print({result['status'] for result in check_estimator(HelmholtzMachine())})"
    )
    # SciPy reads the variable when it is first imported.
    environment = os.environ | {"SCIPY_ARRAY_API": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-W", "ignore::sklearn.exceptions.ConvergenceWarning", "-c", script]
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout == "{'passed'}\n"


@every_check(CONFIGURATIONS)
def test_every_configuration_passes_every_check(estimator, check):
    check(estimator)


@every_check(UNIT_INTERVAL_CONFIGURATIONS)
def test_every_check_passes_with_values_between_zero_and_one(estimator, check, monkeypatch):
    feed(monkeypatch, lambda X: (X - X.min()) / max(X.max() - X.min(), 1))
    check(estimator)


@every_check(FLOAT32_CONFIGURATIONS)
def test_every_check_passes_with_float32(estimator, check, monkeypatch):
    feed(monkeypatch, lambda X: X if X.dtype == object else X.astype(np.float32))
    check(estimator)


@pytest.mark.parametrize("check", UNCALLED_CHECKS)
@pytest.mark.parametrize("estimator", [quick(100), quick((4, 3), recognition_update="both")], ids=["shallow", "deep"])
# The checks of `set_output` pair arrays with data frames, of which scikit-learn warns.
@pytest.mark.filterwarnings("ignore:X (has|does not have valid) feature names:UserWarning")
def test_the_checks_that_check_estimator_does_not_call_pass(estimator, check):
    getattr(estimator_checks, check)("HelmholtzMachine", estimator)
