"""joblib: memory-mapped estimators, also shared by several processes."""

import joblib
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from skwakesleep import AmortisedWakeSleep, HelmholtzMachine
from skwakesleep.models import LatentFactors

X = (np.random.default_rng(0).random((60, 8)) < 0.3).astype(float)
ESTIMATORS = {
    "HelmholtzMachine": HelmholtzMachine(20, max_iter=3, tol=None, random_state=0),
    "HelmholtzMachine, deep and Gaussian": HelmholtzMachine((6, 4), visible="gaussian", max_iter=3, tol=None),
    "AmortisedWakeSleep": AmortisedWakeSleep(
        LatentFactors(8, 2), gradient="exact", n_sleep=60, tune=None, max_iter=3, random_state=0
    ),
}
METHODS = {
    "transform": lambda estimator: estimator.transform(X),
    "score_samples": lambda estimator: estimator.score_samples(X),
    "score": lambda estimator: estimator.score(X),
    "sample": lambda estimator: estimator.sample(20, random_state=0),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("estimator", ESTIMATORS.values(), ids=ESTIMATORS)
def test_memory_mapped_estimator_works_and_does_not_change_the_file(estimator, method, tmp_path):
    path = tmp_path / "estimator.joblib"
    joblib.dump(estimator.fit(X), path)
    saved = path.read_bytes()
    mapped = joblib.load(path, mmap_mode="r")
    parameters = mapped._fitted.state.parameters
    assert isinstance(parameters, np.memmap)
    assert not parameters.flags.writeable
    assert_array_equal(METHODS[method](mapped), METHODS[method](estimator))
    assert path.read_bytes() == saved


@pytest.mark.parametrize("name", ["HelmholtzMachine", "AmortisedWakeSleep"])
def test_workers_use_a_memory_mapped_estimator(name):
    estimator = ESTIMATORS[name].fit(X)
    with joblib.Parallel(n_jobs=2, max_nbytes=100) as parallel:
        blocks = parallel(joblib.delayed(estimator.score_samples)(X[start : start + 20]) for start in (0, 20, 40))
    assert_array_equal(np.concatenate(blocks), estimator.score_samples(X))
