"""Replicas trained separately: averaging, continued training, and invalid arguments."""

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


def test_replicas_differ_from_the_machine_only_in_random_numbers(machine):
    replicas = replicate(machine, 3)
    for replica in replicas:
        assert_array_equal(replica.transform(X), machine.transform(X))
        assert replica.n_iter_ == 1
    components = [replica.partial_fit(PARTS[0]).components_ for replica in [machine, *replicas]]
    assert all((first != second).any() for k, first in enumerate(components) for second in components[:k])


def test_replicas_of_equal_machines_are_equal(machine):
    copied = pickle.loads(pickle.dumps(machine))
    for one, other in zip(trained(machine), trained(copied), strict=True):
        assert_array_equal(one.components_, other.components_)


def test_random_numbers_differ_between_rounds(machine):
    one, other = trained(machine, [PARTS[0]] * 2)
    averaged = average([one, other])
    streams = [
        replica._fitted.state.streams["dreams"].random()
        for replica in (*replicate(machine, 2), *replicate(averaged, 2))
    ]
    assert len(set(streams)) == 4


@pytest.mark.parametrize("use", ["replicate", "average"])
def test_arguments_are_not_changed(use, machine):
    replicas = trained(machine)
    before = pickle.dumps([machine, *replicas])
    averaged = replicate(machine, 2)[0] if use == "replicate" else average(replicas)
    averaged.partial_fit(PARTS[1])
    assert pickle.dumps([machine, *replicas]) == before


def test_every_parameter_is_averaged(machine):
    replicas = trained(machine)
    averaged = average(iter(replicas))
    for name in "generative_coefs_", "generative_intercepts_", "recognition_coefs_", "recognition_intercepts_":
        for arrays in zip(getattr(averaged, name), *(getattr(replica, name) for replica in replicas), strict=True):
            assert_allclose(arrays[0], np.mean(arrays[1:], axis=0), rtol=1e-12, atol=1e-15)
    assert averaged.lower_bounds_ == pytest.approx(np.mean([replica.lower_bounds_ for replica in replicas], axis=0))
    assert averaged.n_iter_ == 2


def test_average_of_one_replica_trains_like_the_replica(machine):
    (replica,) = trained(machine, [TRAINING])
    averaged = average([replica])
    assert_array_equal(averaged.partial_fit(X).components_, replica.partial_fit(X).components_)


def test_average_of_equal_replicas_keeps_the_solver_state(machine):
    replica = trained(machine)[0]
    averaged = average([replica, pickle.loads(pickle.dumps(replica))])
    assert_allclose(averaged.partial_fit(X).components_, replica.partial_fit(X).components_, rtol=1e-10)


def test_column_names_are_kept():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=[f"x{n}" for n in range(12)])
    machine = HelmholtzMachine(2, random_state=0).partial_fit(frame)
    averaged = average(trained(machine, [frame[:200], frame[200:]]))
    assert list(averaged.feature_names_in_) == list(frame.columns)
    averaged.score(frame)


def test_validation_scores_are_discarded():
    """The validation scores of the replicas do not apply to their average."""
    machine = HelmholtzMachine(2, max_iter=2, tol=None, early_stopping=True, warm_start=True, random_state=0)
    machine.fit(TRAINING)
    averaged = average([replica.fit(TRAINING) for replica in replicate(machine, 2)])
    assert averaged.validation_scores_ == []
    averaged.fit(TRAINING)
    assert len(averaged.validation_scores_) == 2


def test_average_of_replicas_scores_like_one_machine():
    """The total numbers of steps and rows are equal. Negative control: average of machines with different seeds."""
    options = {"autoregressive": "prior", "random_state": 0}
    single = HelmholtzMachine(8, batch_size=40, learning_rate_init=0.2, **options)
    averaged = HelmholtzMachine(8, batch_size=20, learning_rate_init=0.2 * 2**0.5, **options)
    averaged.partial_fit(TRAINING[:40])
    halves = TRAINING[::2], TRAINING[1::2]
    for _ in range(10):
        single.partial_fit(TRAINING)
        averaged = average(trained(averaged, halves))
    assert averaged.score(HELD_OUT) > single.score(HELD_OUT) - 0.1
    options = {"autoregressive": "prior", "learning_rate_init": 0.2, "max_iter": 10, "tol": None}
    unrelated = [HelmholtzMachine(8, random_state=seed, **options).fit(TRAINING) for seed in (1, 2)]
    assert average(unrelated).score(HELD_OUT) < single.score(HELD_OUT) - 0.2


# ---------------------------------------------------------------------- invalid arguments


def test_replicating_an_unfitted_machine_raises():
    with pytest.raises(NotFittedError):
        replicate(HelmholtzMachine(), 2)


def test_number_of_replicas_must_be_positive(machine):
    with pytest.raises(ValueError, match="n_replicas must be at least 1"):
        replicate(machine, 0)


def test_averaging_no_replicas_raises():
    with pytest.raises(ValueError, match="no replicas"):
        average([])


def test_averaging_replicas_of_different_machines_raises(machine):
    others = {
        "wider": HelmholtzMachine(5).partial_fit(TRAINING),
        "Gaussian": HelmholtzMachine(4, visible="gaussian").partial_fit(TRAINING),
        "fewer columns": HelmholtzMachine(4).partial_fit(TRAINING[:, :5]),
    }
    for other in others.values():
        with pytest.raises(ValueError, match="replicas of one machine"):
            average([machine, other])


def test_replicas_with_different_units_are_averaged_in_common_units():
    """Each replica has the units of its training rows; average converts them to common units."""
    rows = np.random.default_rng(0).normal(size=(200, 3))
    # Weights between columns do not act linearly, so that the mean of two machines is not between them.
    settings = {"visible": "gaussian", "autoregressive": "prior", "output": "means"}
    machine = HelmholtzMachine(4, **settings, random_state=0).partial_fit(rows)
    one, other = replicate(machine, 2)
    one.partial_fit(rows), other.partial_fit(3 * rows + 5)
    assert not np.array_equal(*(replica._fitted.machine.columns.location for replica in (one, other)))
    same = average([other, other])
    np.testing.assert_allclose(same.score_samples(rows), other.score_samples(rows), rtol=1e-6)
    between = average([one, other]).inverse_transform(np.zeros((1, 4)))
    ends = [replica.inverse_transform(np.zeros((1, 4))) for replica in (one, other)]
    np.testing.assert_allclose(between, np.mean(ends, axis=0), rtol=1e-6)


def test_averaging_replicas_with_unequal_numbers_of_epochs_raises(machine):
    one, other = replicate(machine, 2)
    with pytest.raises(ValueError, match=r"as many epochs as each other\. Got 2 and 3"):
        average([one.partial_fit(PARTS[0]), other.partial_fit(PARTS[0]).partial_fit(PARTS[0])])


def test_replicas_of_a_table_with_words_and_missing_values():
    pandas = pytest.importorskip("pandas")
    words = np.where(X[:, 0] > 0, "yes", "no").astype(object)
    frame = pandas.DataFrame({"word": np.where(X[:, 1] > 0, words, None), "n": X[:, :6].sum(axis=1), "x": CAUSES[:, 0]})
    machine = HelmholtzMachine(4, batch_size=25, random_state=0).partial_fit(frame)
    assert_allclose(average(replicate(machine, 2)).transform(frame), machine.transform(frame))
    averaged = average(trained(machine, [frame[:300], frame[300:]]))
    assert averaged.score(frame) > machine.score(frame)
    assert averaged.sample(3, random_state=0).dtypes.equals(frame.dtypes)
