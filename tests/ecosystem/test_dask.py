"""Dask: blockwise computation, incremental training, and a search on a cluster."""

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skwakesleep import HelmholtzMachine
from skwakesleep.contrib.replicas import average, replicate

pytestmark = pytest.mark.filterwarnings("ignore")  # warnings of Dask

X = (np.random.default_rng(0).random((120, 8)) < 0.3).astype(float)
MACHINE = {"hidden_layer_sizes": 20, "max_iter": 3, "tol": None, "random_state": 0}


@pytest.fixture
def blocks():
    array = pytest.importorskip("dask.array", reason="dask is not installed")
    return array.from_array(X, chunks=(50, X.shape[1]))


@pytest.fixture(scope="module")
def client():
    distributed = pytest.importorskip("dask.distributed", reason="dask's distributed scheduler is not installed")
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture
def wrappers():
    return pytest.importorskip("dask_ml.wrappers", reason="dask-ml is not installed")


def test_transform_by_blocks_with_dask_ml(blocks, wrappers):
    machine = HelmholtzMachine(**MACHINE).fit(X)
    features = wrappers.ParallelPostFit(machine).transform(blocks)
    assert_array_equal(features.compute(), machine.transform(X))


def test_transform_by_blocks_with_map_blocks(blocks):
    """With map_blocks, the number of features is given; dask-ml assumes the number of input columns."""
    machine = HelmholtzMachine(**MACHINE).fit(X)
    features = blocks.map_blocks(machine.transform, chunks=(blocks.chunks[0], (20,)), dtype=float)
    assert features.shape == (120, 20)
    assert_array_equal(features[:, 15:].compute(), machine.transform(X)[:, 15:])


def test_predict_of_a_pipeline_by_blocks(blocks, wrappers):
    pipeline = make_pipeline(HelmholtzMachine(**MACHINE), LogisticRegression()).fit(X, X[:, 0])
    predictions = wrappers.ParallelPostFit(pipeline).predict(blocks).compute()
    assert_array_equal(predictions, pipeline.predict(X))


def test_score_samples_by_blocks(blocks):
    machine = HelmholtzMachine(**MACHINE).fit(X)
    scores = blocks.map_blocks(machine.score_samples, drop_axis=1, dtype=float)
    assert_array_equal(scores.compute(), machine.score_samples(X))
    assert_allclose(scores.mean().compute(), machine.score(X))


def test_training_by_blocks_on_a_cluster_equals_partial_fit(blocks, wrappers, client):
    incremental = wrappers.Incremental(HelmholtzMachine(**MACHINE), shuffle_blocks=False).fit(blocks)
    machine = HelmholtzMachine(**MACHINE)
    for start in range(0, len(X), 50):
        machine.partial_fit(X[start : start + 50])
    assert_array_equal(incremental.transform(blocks).compute(), machine.transform(X))


def test_search_on_a_cluster(client):
    search = GridSearchCV(HelmholtzMachine(**MACHINE), {"hidden_layer_sizes": [2, 4], "n_particles": [2, 5]}, cv=2)
    scores = search.fit(X).cv_results_["mean_test_score"]
    n_executed_before = n_executed(client)
    with joblib.parallel_config(backend="dask", n_jobs=2):
        on_cluster = search.fit(X).cv_results_["mean_test_score"]
    assert_array_equal(on_cluster, scores)
    assert n_executed(client) > n_executed_before


def test_replicas_on_a_cluster_equal_local_replicas(client):
    parts = np.array_split(X, 2)
    scattered = [client.scatter(part) for part in parts]
    local = remote = HelmholtzMachine(**MACHINE).partial_fit(X[:20])
    for _ in range(3):
        local = average(map(HelmholtzMachine.partial_fit, replicate(local, 2), parts))
        trained = client.map(HelmholtzMachine.partial_fit, replicate(remote, 2), scattered, pure=False)
        remote = average(client.gather(trained))
    assert_array_equal(remote.transform(X), local.transform(X))


def n_executed(client):
    return sum(client.run(lambda dask_worker: dask_worker.state.executed_count).values())
