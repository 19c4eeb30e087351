"""Replicas that are trained separately: their average, its training, and mistakes."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError

from skwakesleep import HelmholtzMachine
from skwakesleep.contrib.replicas import average, replicate

rng = np.random.default_rng(0)
CAUSES = rng.integers(2, size=(600, 3))
X = (rng.random((600, 12)) < np.where(np.repeat(CAUSES, 4, axis=1), 0.9, 0.1)).astype(float)
TRAINING, HELD_OUT = X[:400], X[400:]
PARTS = np.array_split(TRAINING, 4)


@pytest.fixture(params=["adam", "sgd"])
def machine(request):
    rate = {"adam": 0.2, "sgd": 0.5}[request.param]
    machine = HelmholtzMachine(4, solver=request.param, learning_rate_init=rate, batch_size=25, random_state=0)
    return machine.partial_fit(PARTS[0])


def trained(machine, parts=PARTS):
    return [replica.partial_fit(part) for replica, part in zip(replicate(machine, len(parts)), parts, strict=True)]


def test_replicas_equal_the_machine_except_for_random_numbers(machine):
    replicas = replicate(machine, 3)
    for replica in replicas:
        assert_array_equal(replica.transform(X), machine.transform(X))
        assert replica.n_iter_ == 1
    components = [replica.partial_fit(PARTS[0]).components_ for replica in [machine, *replicas]]
    assert all((one != other).any() for k, one in enumerate(components) for other in components[:k])


def test_replicas_of_equal_machines_are_equal(machine):
    again = pickle.loads(pickle.dumps(machine))
    for one, other in zip(trained(machine), trained(again), strict=True):
        assert_array_equal(one.components_, other.components_)


def test_random_numbers_differ_between_rounds(machine):
    one, other = trained(machine, [PARTS[0]] * 2)
    joined = average([one, other])
    streams = [
        replica._fitted.state.streams["dreams"].random() for replica in (*replicate(machine, 2), *replicate(joined, 2))
    ]
    assert len(set(streams)) == 4


@pytest.mark.parametrize("use", ["replicate", "average"])
def test_arguments_are_not_changed(use, machine):
    replicas = trained(machine)
    before = pickle.dumps([machine, *replicas])
    joined = replicate(machine, 2)[0] if use == "replicate" else average(replicas)
    joined.partial_fit(PARTS[1])
    assert pickle.dumps([machine, *replicas]) == before


def test_every_parameter_is_averaged(machine):
    replicas = trained(machine)
    joined = average(iter(replicas))
    for name in "generative_coefs_", "generative_intercepts_", "recognition_coefs_", "recognition_intercepts_":
        for arrays in zip(getattr(joined, name), *(getattr(replica, name) for replica in replicas), strict=True):
            assert_allclose(arrays[0], np.mean(arrays[1:], axis=0), rtol=1e-12, atol=1e-15)
    assert joined.lower_bounds_ == pytest.approx(np.mean([replica.lower_bounds_ for replica in replicas], axis=0))
    assert joined.n_iter_ == 2


def test_mean_of_one_replica_trains_on_like_the_replica(machine):
    (replica,) = trained(machine, [TRAINING])
    joined = average([replica])
    assert_array_equal(joined.partial_fit(X).components_, replica.partial_fit(X).components_)


def test_mean_of_equal_replicas_keeps_the_state_of_the_solver(machine):
    replica = trained(machine)[0]
    joined = average([replica, pickle.loads(pickle.dumps(replica))])
    assert_allclose(joined.partial_fit(X).components_, replica.partial_fit(X).components_, rtol=1e-10)


def test_names_of_columns_are_kept():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=[f"x{n}" for n in range(12)])
    machine = HelmholtzMachine(2, random_state=0).partial_fit(frame)
    joined = average(trained(machine, [frame[:200], frame[200:]]))
    assert list(joined.feature_names_in_) == list(frame.columns)
    joined.score(frame)


def test_validation_scores_are_discarded():
    """The mean of the best parameters of the replicas is another machine: their scores do not apply to it."""
    machine = HelmholtzMachine(2, max_iter=2, tol=None, early_stopping=True, warm_start=True, random_state=0)
    machine.fit(TRAINING)
    joined = average([replica.fit(TRAINING) for replica in replicate(machine, 2)])
    assert joined.validation_scores_ == []
    joined.fit(TRAINING)
    assert len(joined.validation_scores_) == 2


def test_replicas_learn_as_one_machine_does():
    """With as many steps on as many rows in total. Negative control: machines from different starts."""
    alone = HelmholtzMachine(8, batch_size=40, random_state=0)
    joined = HelmholtzMachine(8, batch_size=20, learning_rate_init=0.2 * 2**0.5, random_state=0)
    joined.partial_fit(TRAINING[:40])
    halves = TRAINING[::2], TRAINING[1::2]
    for _ in range(10):
        alone.partial_fit(TRAINING)
        joined = average(trained(joined, halves))
    assert joined.score(HELD_OUT) > alone.score(HELD_OUT) - 0.1
    apart = [HelmholtzMachine(8, max_iter=10, tol=None, random_state=seed).fit(TRAINING) for seed in (1, 2)]
    assert average(apart).score(HELD_OUT) < alone.score(HELD_OUT) - 0.2


# ---------------------------------------------------------------------- mistakes


def test_machine_that_is_not_fitted_is_refused():
    with pytest.raises(NotFittedError):
        replicate(HelmholtzMachine(), 2)


def test_number_of_replicas_must_be_positive(machine):
    with pytest.raises(ValueError, match="n_replicas must be at least 1"):
        replicate(machine, 0)


def test_no_replicas_are_refused():
    with pytest.raises(ValueError, match="no replicas"):
        average([])


def test_replicas_of_different_machines_are_refused(machine):
    others = {
        "wider": HelmholtzMachine(5).partial_fit(TRAINING),
        "Gaussian": HelmholtzMachine(4, visible="gaussian").partial_fit(TRAINING),
        "fewer columns": HelmholtzMachine(4).partial_fit(TRAINING[:, :5]),
    }
    for other in others.values():
        with pytest.raises(ValueError, match="replicas of one machine"):
            average([machine, other])


def test_replicas_with_different_units_are_averaged_in_common_units():
    """Each replica has units of its own rows. The mean is that of the machines in common units."""
    rows = np.random.default_rng(0).normal(size=(200, 3))
    machine = HelmholtzMachine(4, visible="gaussian", random_state=0).partial_fit(rows)
    one, other = replicate(machine, 2)
    one.partial_fit(rows), other.partial_fit(3 * rows + 5)
    assert not np.array_equal(*(replica._fitted.machine.columns.location for replica in (one, other)))
    same = average([other, other])
    np.testing.assert_allclose(same.score_samples(rows), other.score_samples(rows), rtol=1e-9)
    between = average([one, other]).inverse_transform(np.zeros((1, 4)))
    ends = [replica.inverse_transform(np.zeros((1, 4))) for replica in (one, other)]
    np.testing.assert_allclose(between, np.mean(ends, axis=0), rtol=1e-9)


def test_unequal_numbers_of_epochs_are_refused(machine):
    one, other = replicate(machine, 2)
    with pytest.raises(ValueError, match=r"as many epochs as each other\. Got 2 and 3"):
        average([one.partial_fit(PARTS[0]), other.partial_fit(PARTS[0]).partial_fit(PARTS[0])])
