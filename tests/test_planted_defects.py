"""Checks of properties that scikit-learn's common checks do not cover, each tested on planted defects.

Each line of DEFECTS is a check and a defect. The estimator must pass the check. The estimator with the defect must fail
it, which shows that the check works.
"""

import gc
import pickle
import random
import warnings
import weakref
from itertools import product
from unittest.mock import patch

import joblib
import numpy as np
import pytest
from scipy.stats import bernoulli

from skwakesleep import HelmholtzMachine
from skwakesleep._engine.machine.wake_sleep import WakeSleep
from skwakesleep._engine.training.layout import ParameterLayout

N_PARTICLES = {"wake": 4, "sleep": 1, "both": 4}  # by recognition_update


def data(n_rows=40):
    """Return rows of two patterns of six bits, in proportion 1 to 4, with noise."""
    rng = np.random.default_rng(0)
    rare = rng.random((n_rows, 1)) < 0.2
    pattern = np.where(rare, [1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1])
    return np.abs(pattern - (rng.random((n_rows, 6)) < 0.05)).astype(float)


def build(cls, recognition_update="wake", **options):
    """Return a small machine whose parameters do not depend on the defaults."""
    settings = {
        "hidden_layer_sizes": (3, 2),
        "n_particles": N_PARTICLES[recognition_update],
        "recognition_update": recognition_update,
        "autoregressive": "prior",
        "alpha": 0.0,
        "learning_rate_init": 0.1,
        "solver": "adam",
        "batch_size": 10,
        "max_iter": 3,
        "shuffle": True,
        "tol": None,
        "random_state": 0,
    }
    return cls(**(settings | options))


def parameters(machine):
    return [
        machine.prior_intercept_,
        *machine.generative_coefs_,
        *machine.generative_intercepts_,
        *machine.recognition_coefs_,
        *machine.recognition_intercepts_,
    ]


def equal(some, others):
    return all(map(np.array_equal, some, others))


# ---------------------------------------------------------------------- checks of the methods


def check_partial_fit_returns_self(cls):
    machine = build(cls)
    assert machine.partial_fit(data()) is machine
    assert machine.partial_fit(data()) is machine


def check_partial_fit_continues(cls):
    """Three epochs by `partial_fit` equal a `fit` of three epochs, random streams and optimizer included.

    The number of rows is that of the table, as if they were not counted again in each call.
    """
    whole, parts, prepare = build(cls, max_iter=3).fit(data()), build(cls), WakeSleep.__init__
    with patch.object(WakeSleep, "__init__", lambda *given, **options: prepare(*given, **{**options, "n_rows": 40})):
        for _ in range(3):
            parts.partial_fit(data())
    assert parts.n_iter_ == whole.n_iter_ == 3
    assert list(parts.lower_bounds_) == list(whole.lower_bounds_)
    assert equal(parameters(parts), parameters(whole))


def check_methods_change_nothing(cls):
    machine = build(cls).fit(data())
    names, before = set(vars(machine)), joblib.hash(vars(machine))
    machine.score(data())
    machine.score_samples(data())
    machine.inverse_transform(machine.transform(data()))
    machine.sample(5)
    machine.get_feature_names_out()
    assert set(vars(machine)) == names
    assert joblib.hash(vars(machine)) == before


def check_global_generators_do_not_change(cls):
    def states():
        return pickle.dumps((np.random.get_state(), random.getstate()))  # noqa: NPY002

    np.random.random()  # noqa: NPY002  # so that seeding again changes the state, even with the seed of this test
    before = states()
    machine = build(cls, random_state=0).fit(data())
    machine.partial_fit(data()).score(data())
    machine.sample(5, random_state=0)
    assert states() == before


def check_data_are_not_kept(cls):
    X = data()
    reference, machine = weakref.ref(X), build(cls).fit(X)
    del X
    gc.collect()
    assert reference() is None, "X or a view of it is kept"
    many = build(cls, batch_size=400).fit(data(4000))
    few = build(cls, batch_size=400, max_iter=3).fit(data(400))
    assert len(pickle.dumps(many)) < len(pickle.dumps(few)) + 100, "a copy of X is kept"
    assert machine.n_features_in_ == 6


def check_samples_are_binary(cls):
    machine = build(cls).fit(data())
    for random_state in (None, 0):
        samples = machine.sample(20, random_state=random_state)
        assert samples.shape == (20, 6)
        assert np.isin(samples, [0, 1]).all()


def check_fit_is_silent(cls):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        build(cls).fit(data()).fit(data())
    assert not caught, [str(warning.message) for warning in caught]


# ---------------------------------------------------------------------- checks of the mathematics


def check_probabilities_sum_to_one(cls):
    every_row = np.array(list(product([0.0, 1.0], repeat=6)))
    log_likelihood = build(cls).fit(data()).score_samples(every_row)
    assert np.exp(log_likelihood).sum() == pytest.approx(1, abs=1e-9)


def recognition_check(recognition_update):
    """Return the check that the lower bound ends far above the log-likelihood of independent columns.

    If the recognition network does not learn, the generative network learns to ignore its latents.
    """

    def check(cls):
        X = data(200)
        machine = build(cls, recognition_update, hidden_layer_sizes=2, max_iter=40, learning_rate_init=0.2).fit(X)
        independent = bernoulli(X.mean(axis=0)).logpmf(X).sum(axis=1).mean()
        assert machine.lower_bound_ > independent + 1.0

    check.__name__ = f"check_recognition_learns_by_{recognition_update}"
    return check


def check_sleep_learns_from_dreams_alone(cls):
    """One sleep-phase update gives equal recognition networks for different data with equal column means."""
    X = data()
    shuffled = np.random.default_rng(1).permuted(X, axis=0)
    first, second = (build(cls, "sleep", batch_size=40).partial_fit(rows) for rows in (X, shuffled))
    assert equal(first.recognition_coefs_, second.recognition_coefs_)
    assert equal(first.recognition_intercepts_, second.recognition_intercepts_)
    assert not equal(first.generative_coefs_, second.generative_coefs_)  # learns from the data


def check_every_array_learns(cls):
    for recognition_update in N_PARTICLES:
        machine = build(cls, recognition_update).partial_fit(data())
        before = [array.copy() for array in parameters(machine)]
        for array, earlier in zip(parameters(machine.partial_fit(data())), before, strict=True):
            assert (array != earlier).any()


def check_networks_are_separate(cls):
    for recognition_update in N_PARTICLES:
        machine = build(cls, recognition_update).fit(data())
        for generative, recognition in zip(machine.generative_coefs_, machine.recognition_coefs_, strict=True):
            assert not np.shares_memory(generative, recognition)
            assert not np.allclose(generative.T, recognition)


# ---------------------------------------------------------------------- defects of the estimator


class PartialFitReturnsNone(HelmholtzMachine):
    def partial_fit(self, X, y=None):
        super().partial_fit(X)


class PartialFitRestarts(HelmholtzMachine):
    def partial_fit(self, X, y=None):
        vars(self).pop("_fitted", None)
        return super().partial_fit(X)


class PartialFitForgetsTheOptimizer(HelmholtzMachine):
    def partial_fit(self, X, y=None):
        if hasattr(self, "_fitted"):
            self._fitted.state.optimizer.reset()
        return super().partial_fit(X)


class ScoreSetsAnAttribute(HelmholtzMachine):
    def score(self, X, y=None):
        self.score_ = super().score(X)
        return self.score_


class SampleAdvancesTheStreams(HelmholtzMachine):
    def sample(self, n_samples=1, random_state=None):
        self._fitted.state.streams["dreams"].random()
        return super().sample(n_samples, random_state)


class SampleReseeds(HelmholtzMachine):
    def sample(self, n_samples=1, random_state=None):
        np.random.seed(random_state)  # noqa: NPY002
        return super().sample(n_samples, random_state)


class FitReseeds(HelmholtzMachine):
    def fit(self, X, y=None):
        np.random.seed(self.random_state)  # noqa: NPY002
        return super().fit(X)


class FitDrawsFromTheGlobalGenerator(HelmholtzMachine):
    def fit(self, X, y=None):
        np.random.random()  # noqa: NPY002
        return super().fit(X)


class FitKeepsX(HelmholtzMachine):
    def fit(self, X, y=None):
        self._X = X
        return super().fit(X)


class FitKeepsAViewOfX(HelmholtzMachine):
    def fit(self, X, y=None):
        self._X = X[:1]
        return super().fit(X)


class FitKeepsACopyOfX(HelmholtzMachine):
    def fit(self, X, y=None):
        self._X = X.copy()
        return super().fit(X)


class SampleReturnsNaN(HelmholtzMachine):
    def sample(self, n_samples=1, random_state=None):
        return np.full((n_samples, self.n_features_in_), np.nan)


class SampleReturnsMeans(HelmholtzMachine):
    def sample(self, n_samples=1, random_state=None):
        return np.full((n_samples, self.n_features_in_), 0.5)


class FitWarns(HelmholtzMachine):
    def fit(self, X, y=None):
        warnings.warn("once more", UserWarning, stacklevel=2)
        return super().fit(X)


class ScoresNegated(HelmholtzMachine):
    def score_samples(self, X):
        return -super().score_samples(X)


# ---------------------------------------------------------------------- defects of the engine


def engine_defect(spoil):
    """Return a function that plants a defect: ``spoil(objective, batch)`` is called after each gradient."""

    def plant(monkeypatch):
        original = WakeSleep.__call__

        def with_defect(self, batch):
            bound = original(self, batch)
            spoil(self, batch)
            return bound

        monkeypatch.setattr(WakeSleep, "__call__", with_defect)
        return HelmholtzMachine

    plant.__name__ = spoil.__name__
    return plant


def arrays(views):
    return [array for layer in views for array in layer.values()]


@engine_defect
def recognition_descends(objective, batch):
    for array in arrays(objective.machine.views(objective.gradient).recognition):
        array *= -1


@engine_defect
def wake_updates_the_recognition_network(objective, batch):
    x, extra = batch.units, np.zeros_like(objective.gradient)
    recognition = objective._awake.recognition
    q = recognition.draw(x, (len(x), 1), objective._particles)
    recognition.gradient(q, np.full((len(x), 1), 1 / len(x)), objective.machine.views(extra).recognition)
    objective.gradient += extra


@engine_defect
def prior_never_learns(objective, batch):
    objective.machine.views(objective.gradient).generative[0]["intercept"][...] = 0


@engine_defect
def recognition_biases_never_learn(objective, batch):
    for layer in objective.machine.views(objective.gradient).recognition:
        layer["intercept"][...] = 0


def weights_are_tied(monkeypatch):
    """Plant weight sharing, as in a restricted Boltzmann machine: both networks use one matrix."""
    original = ParameterLayout.views

    def views(self, flat):
        by_name = original(self, flat)
        for name, layer in by_name.items():
            if name.startswith("recognition"):
                layer["weights"] = by_name[name.replace("recognition", "generative")]["weights"].T
        return by_name

    monkeypatch.setattr(ParameterLayout, "views", views)
    return HelmholtzMachine


def planted(defect, monkeypatch):
    """Return the estimator class with a defect: a class, or a function that patches the engine."""
    return defect if isinstance(defect, type) else defect(monkeypatch)


DEFECTS = [
    (check_partial_fit_returns_self, PartialFitReturnsNone),
    (check_partial_fit_continues, PartialFitRestarts),
    (check_partial_fit_continues, PartialFitForgetsTheOptimizer),
    (check_methods_change_nothing, ScoreSetsAnAttribute),
    (check_methods_change_nothing, SampleAdvancesTheStreams),
    (check_global_generators_do_not_change, SampleReseeds),
    (check_global_generators_do_not_change, FitReseeds),
    (check_global_generators_do_not_change, FitDrawsFromTheGlobalGenerator),
    (check_data_are_not_kept, FitKeepsX),
    (check_data_are_not_kept, FitKeepsAViewOfX),
    (check_data_are_not_kept, FitKeepsACopyOfX),
    (check_samples_are_binary, SampleReturnsNaN),
    (check_samples_are_binary, SampleReturnsMeans),
    (check_fit_is_silent, FitWarns),
    (check_probabilities_sum_to_one, ScoresNegated),
    *((recognition_check(update), recognition_descends) for update in N_PARTICLES),
    (check_sleep_learns_from_dreams_alone, wake_updates_the_recognition_network),
    (check_every_array_learns, prior_never_learns),
    (check_every_array_learns, recognition_biases_never_learn),
    (check_networks_are_separate, weights_are_tied),
]


@pytest.mark.parametrize("check", dict(DEFECTS), ids=lambda check: check.__name__)
def test_estimator_passes(check):
    check(HelmholtzMachine)


@pytest.mark.statistical
@pytest.mark.parametrize(("check", "defect"), DEFECTS, ids=lambda function: function.__name__)
def test_defect_fails_the_check(check, defect, monkeypatch):
    estimator_with_defect = planted(defect, monkeypatch)
    with pytest.raises(AssertionError):
        check(estimator_with_defect)
