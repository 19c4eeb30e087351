"""skops: secure files that list the classes to trust."""

from zipfile import ZIP_DEFLATED

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from skwakesleep import AmortisedWakeSleep, HelmholtzMachine

io = pytest.importorskip("skops.io", reason="skops is not installed")
pytestmark = pytest.mark.filterwarnings("ignore:The regression predicts no better")  # few dreams

X = (np.random.default_rng(0).random((60, 8)) < 0.3).astype(float)
MACHINE = {"hidden_layer_sizes": 4, "max_iter": 3, "tol": None, "random_state": 0}
ESTIMATORS = {
    "HelmholtzMachine": HelmholtzMachine(**MACHINE),
    "HelmholtzMachine, Gaussian": HelmholtzMachine(**MACHINE, visible="gaussian", solver="sgd"),
    "HelmholtzMachine, early stopping": HelmholtzMachine(**MACHINE, early_stopping=True),
    "AmortisedWakeSleep": AmortisedWakeSleep(n_sleep=60, max_iter=3, random_state=0),
    "AmortisedWakeSleep, transformer": AmortisedWakeSleep(feature_map=PCA(1), n_sleep=60, max_iter=3, random_state=0),
}
every_estimator = pytest.mark.parametrize("estimator", ESTIMATORS.values(), ids=ESTIMATORS)


def untrusted(estimator):
    return set(io.get_untrusted_types(data=io.dumps(estimator)))


def round_trip(estimator):
    return io.loads(io.dumps(estimator), trusted=list(untrusted(estimator)))


@every_estimator
def test_only_the_class_of_the_estimator_is_untrusted(estimator):
    cls = type(estimator)
    assert untrusted(estimator.fit(X)) == {f"{cls.__module__}.{cls.__name__}"}


@every_estimator
def test_round_trip_keeps_results(estimator):
    estimator.fit(X)
    loaded = round_trip(estimator)
    assert_array_equal(loaded.transform(X), estimator.transform(X))
    assert_array_equal(loaded.score_samples(X), estimator.score_samples(X))
    assert_array_equal(loaded.sample(5, random_state=0), estimator.sample(5, random_state=0))


@every_estimator
@pytest.mark.parametrize("train", ["fit", "partial_fit"])
def test_training_continues_bit_equal_after_loading(train, estimator):
    estimator.set_params(warm_start=True).fit(X)
    loaded = getattr(round_trip(estimator), train)(X)
    getattr(estimator, train)(X)
    assert loaded.n_iter_ == estimator.n_iter_ > 3
    assert_array_equal(loaded.transform(X), estimator.transform(X))


def test_round_trip_of_a_pipeline():
    y = X[:, 0].astype(int)
    pipeline = make_pipeline(HelmholtzMachine(**MACHINE), LogisticRegression()).fit(X, y)
    assert untrusted(pipeline) == {"skwakesleep._helmholtz_machine.HelmholtzMachine"}
    assert_array_equal(round_trip(pipeline).predict_proba(X), pipeline.predict_proba(X))


def test_loading_without_trusted_classes_raises():
    saved = io.dumps(ESTIMATORS["HelmholtzMachine"].fit(X))
    with pytest.raises(io.exceptions.UntrustedTypesFoundException, match="HelmholtzMachine"):
        io.loads(saved)


@pytest.mark.parametrize("estimator", [ESTIMATORS["HelmholtzMachine"], ESTIMATORS["AmortisedWakeSleep"]])
def test_round_trip_without_training_state(estimator):
    estimator.fit(X)
    full = io.dumps(estimator)
    saved = io.dumps(estimator.discard_training_state())
    loaded = io.loads(saved, trusted=io.get_untrusted_types(data=saved))
    assert len(saved) < len(full)
    assert_array_equal(loaded.transform(X), estimator.transform(X))
    with pytest.raises(ValueError, match="cannot be trained further"):
        loaded.partial_fit(X)


DAMAGES = {
    "wrong number of parameters": lambda state: state["_fitted"]["state"].update(average=np.zeros(2**20)),
    "layers without parameters": lambda state: state["_fitted"]["machine"].update(sizes=(8,) * 2000),
    "a function": lambda state: state["_fitted"]["machine"].update({"skwakesleep class": "os.system"}),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_file_raises(damage, monkeypatch):
    """Compression reduces arrays of zeros to a thousandth of their size, so small files can hold large arrays."""
    machine = HelmholtzMachine(**MACHINE).fit(X)
    state = machine.__getstate__()
    damage(state)
    monkeypatch.setattr(HelmholtzMachine, "__getstate__", lambda self: state)
    saved = io.dumps(machine, compression=ZIP_DEFLATED)
    assert len(saved) < 2**18
    with pytest.raises(ValueError, match="A saved HelmholtzMachine is damaged"):
        io.loads(saved, trusted=io.get_untrusted_types(data=saved))
