"""Ray: a search on a cluster."""

import joblib
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.model_selection import GridSearchCV

from skwakesleep import HelmholtzMachine

ray = pytest.importorskip("ray", reason="ray is not installed")
backend = pytest.importorskip("ray.util.joblib", reason="ray's backend for joblib is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")  # warnings of Ray

X = (np.random.default_rng(0).random((120, 8)) < 0.3).astype(float)


@pytest.fixture(scope="module")
def cluster():
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    backend.register_ray()
    yield
    ray.shutdown()


def test_search_on_a_cluster(cluster):
    machine = HelmholtzMachine(20, max_iter=3, tol=None, random_state=0)
    search = GridSearchCV(machine, {"hidden_layer_sizes": [2, 4], "n_particles": [2, 5]}, cv=2)
    scores = search.fit(X).cv_results_["mean_test_score"]
    with joblib.parallel_config(backend="ray", n_jobs=2):
        assert type(joblib.parallel.get_active_backend()[0]).__name__ == "RayBackend"
        on_cluster = search.fit(X).cv_results_["mean_test_score"]
    assert_array_equal(on_cluster, scores)
