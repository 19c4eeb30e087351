"""Files of earlier versions can be loaded: scores are the same as when they were written, and training continues.

The files were written by joblib and skops, by the version in their names, from the estimators in `ESTIMATORS` fitted to
`X`. Later versions add files and do not change these.
"""

import warnings
from pathlib import Path

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose

from skwakesleep import AmortisedWakeSleep, HelmholtzMachine
from skwakesleep.models import LatentFactors

FOLDER = Path(__file__).parent / "saved"
X = np.outer(np.arange(24) % 3 - 1.0, [1.0, -2.0, 0.5]) + np.sin(np.arange(72.0)).reshape(24, 3)
OPTIONS = {"early_stopping": False, "max_iter": 3, "tol": None, "random_state": 0}
# Defaults of version 0.2 that have changed.
EARLIER = {"alpha": 3e-5, "autoregressive": "prior", "learning_rate_init": 0.2}
ESTIMATORS = {
    "bernoulli": HelmholtzMachine(3, visible="bernoulli", **OPTIONS, **EARLIER),
    "gaussian": HelmholtzMachine((3, 2), visible="gaussian", **OPTIONS, **EARLIER),
    "factors": AmortisedWakeSleep(
        LatentFactors(3, 1), n_sleep=20, max_iter=2, feature_map=None, n_restarts=1, random_state=0
    ),
}
# Mean scores at the time of writing, in nats per row.
SCORES = {"bernoulli": -2.0564891319319734, "gaussian": -4.691624284412955, "factors": -4.725771335942286}


def rows(name):
    return (X > 0).astype(float) if name == "bernoulli" else X


def load(path):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".* was saved by skwakesleep")
        if path.suffix == ".joblib":
            return joblib.load(path)
        skops = pytest.importorskip("skops.io")
        return skops.load(path, trusted=skops.get_untrusted_types(file=path))


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.*")), ids=lambda path: path.name)
def test_a_saved_file_is_loaded_scored_and_trained(path):
    name = path.name.split("-")[0]
    estimator = load(path)
    assert_allclose(estimator.score(rows(name)), SCORES[name], rtol=1e-6)
    n_epochs = estimator.n_iter_
    assert estimator.partial_fit(rows(name)).n_iter_ == n_epochs + 1
    assert np.isfinite(estimator.score(rows(name)))
    assert repr(estimator) == repr(ESTIMATORS[name])


def test_there_are_files():
    """Negative control of the search for them."""
    assert {path.name.split("-")[0] for path in FOLDER.glob("*.*")} == set(ESTIMATORS)
