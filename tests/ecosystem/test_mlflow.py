"""MLflow: automatic logging, and loading of logged models."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skwakesleep import HelmholtzMachine

mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed")
pytest.importorskip("mlflow.sklearn", reason="mlflow's support of scikit-learn is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")  # warnings of MLflow

X = (np.random.default_rng(0).random((60, 8)) < 0.4).astype(float)
y = X[:, 0].astype(int)
# Explicit requirements: otherwise MLflow infers them in a new process, which is slow.
REQUIREMENTS = {"pip_requirements": ["skwakesleep"]}


def machine():
    return HelmholtzMachine(4, max_iter=3, tol=None, random_state=0)


@pytest.fixture(scope="module", autouse=True)
def store(tmp_path_factory):
    directory = tmp_path_factory.mktemp("mlflow")
    mlflow.set_tracking_uri(f"sqlite:///{directory}/runs.db")
    mlflow.set_experiment(experiment_id=mlflow.create_experiment("tests", (directory / "artifacts").as_uri()))
    yield
    mlflow.set_tracking_uri(None)


@pytest.fixture
def autolog():
    """Enable automatic logging, which covers pipelines and searches but not HelmholtzMachine alone."""
    mlflow.sklearn.autolog(log_models=False)
    yield
    mlflow.sklearn.autolog(disable=True)


def test_pipeline_logs_parameters_and_score(autolog):
    with mlflow.start_run() as run:
        pipeline = make_pipeline(machine(), LogisticRegression()).fit(X, y)
    logged = mlflow.get_run(run.info.run_id).data
    assert logged.params["helmholtzmachine__hidden_layer_sizes"] == "4"
    assert logged.metrics["training_score"] == pipeline.score(X, y)


def test_search_logs_the_likelihood_of_each_candidate(autolog):
    with mlflow.start_run() as run:
        search = GridSearchCV(machine(), {"hidden_layer_sizes": [2, 4]}, cv=2).fit(X)
    assert mlflow.get_run(run.info.run_id).data.metrics["best_cv_score"] == search.best_score_
    candidates = mlflow.search_runs(filter_string=f"tags.mlflow.parentRunId = '{run.info.run_id}'")
    assert sorted(candidates["metrics.mean_test_score"]) == sorted(search.cv_results_["mean_test_score"])


@pytest.mark.parametrize("fitted", [machine().fit(X), make_pipeline(machine(), LogisticRegression()).fit(X, y)])
@pytest.mark.parametrize("serialization_format", ["cloudpickle", "skops"])
def test_logged_model_can_be_loaded(serialization_format, fitted):
    trusted = (
        {"skops_trusted_types": ["skwakesleep._helmholtz_machine.HelmholtzMachine"]}
        if serialization_format == "skops"
        else {}
    )
    logged = mlflow.sklearn.log_model(
        fitted, name="model", serialization_format=serialization_format, **trusted, **REQUIREMENTS
    )
    loaded = mlflow.sklearn.load_model(logged.model_uri)
    method = "predict_proba" if hasattr(fitted, "predict_proba") else "transform"
    assert_array_equal(getattr(loaded, method)(X), getattr(fitted, method)(X))
