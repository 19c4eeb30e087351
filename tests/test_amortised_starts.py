"""Several starts of `AmortisedWakeSleep`: the choice among them, its table, and processes."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from skwakesleep._adapters.starts import SHORT_SHARE
from skwakesleep.models import LatentFactors
from tests.amortised import assert_same, quick, ring_data


class Poles:
    """A normal column around theta or -theta, whose likelihood is not known.

    Some starts are hopeless: there, the gradient is zero.
    """

    n_features = n_params = 1

    def initial_params(self, X, rng):
        return np.array([rng.choice([2.0, 30.0])])

    def sample(self, theta, n, rng):
        z = rng.integers(2, size=n)
        return z, rng.normal(theta[0] * (2 * z - 1), 1.0)[:, np.newaxis]

    def grad_log_joint(self, theta, z, x, weights):
        sign = 2 * z - 1
        return np.array([weights @ (sign * (x[:, 0] - theta * sign))]) * (theta[0] < 10)


@pytest.fixture
def X():
    return ring_data(120)[0]


def ring(**parameters):
    return quick(LatentFactors(4, 1, latents="angle"), max_iter=8, n_restarts=3, **parameters)


def test_best_start_is_continued(X):
    fitted = ring().fit(X)
    starts = fitted.starts_
    chosen = int(np.argmax(starts["score"]))
    assert_array_equal(np.flatnonzero(starts["chosen"]), [chosen])
    n_short = int(SHORT_SHARE * 8)
    assert_array_equal(starts["steps"], np.where(starts["chosen"], 8, n_short))
    assert (fitted.n_iter_, fitted.n_steps_) == (8, 8)
    assert starts["end"][chosen] == pytest.approx(fitted.score(X))
    assert_array_equal(np.delete(starts["end"], chosen), np.delete(starts["score"], chosen))
    assert len(set(starts["start"])) == 3
    assert (starts["score"] > starts["start"]).all()


def test_first_start_does_not_depend_on_their_number(X):
    several, one = ring().fit(X), ring().set_params(n_restarts=1, max_iter=2).fit(X)
    assert several.starts_["score"][0] == pytest.approx(one.score(X))


def test_processes_do_not_change_the_result(X):
    one, several = ring().fit(X), ring(n_jobs=2).fit(X)
    assert_same(one, several)
    for name, column in one.starts_.items():
        assert_array_equal(several.starts_[name], column)
    assert not np.array_equal(ring(random_state=1).fit(X).theta_, one.theta_)  # negative control


def test_table_of_starts_is_a_data_frame(X):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(ring().fit(X).starts_)
    assert list(frame.columns) == ["start", "end", "steps", "score", "chosen"]
    assert frame.chosen.sum() == 1


def test_single_start_is_not_scored(X):
    fitted = ring().set_params(n_restarts=1).fit(X)
    assert_array_equal(fitted.starts_["steps"], [8])
    assert_array_equal(fitted.starts_["chosen"], [True])
    assert np.isnan(fitted.starts_["score"]).all()
    assert_array_equal(pickle.loads(pickle.dumps(fitted)).starts_["steps"], [8])


def test_few_epochs_are_those_of_one_start(X):
    fitted = ring().set_params(max_iter=3).fit(X)
    assert_array_equal(fitted.starts_["steps"], [3])
    assert_array_equal(fitted.theta_, ring().set_params(max_iter=3, n_restarts=1).fit(X).theta_)


@pytest.mark.parametrize("seed", range(3))
def test_start_is_chosen_without_a_likelihood(seed):
    """Half of the starts are hopeless. The first three seeds have starts of both kinds."""
    X = Poles().sample(np.array([4.0]), 200, np.random.default_rng(9))[1]
    fitted = quick(Poles(), max_iter=40, n_restarts=6, learning_rate_init=0.1, random_state=seed).fit(X)
    assert abs(fitted.theta_[0]) == pytest.approx(4, abs=0.4)
    assert fitted.starts_["score"].max() > fitted.starts_["score"].min() + 0.1


class Diverging(Poles):
    """From some starts or from all, the parameter rises until simulations fail."""

    def __init__(self, *, everywhere):
        self.everywhere = everywhere

    def sample(self, theta, n, rng):
        z, x = super().sample(theta, n, rng)
        limit = 2.2 if self.everywhere and theta[0] < 10 else 30.2
        return z, np.where(theta[0] > limit, np.nan, x)

    def grad_log_joint(self, theta, z, x, weights):
        return np.ones(1) if self.everywhere or theta[0] > 10 else super().grad_log_joint(theta, z, x, weights)


def test_start_that_diverges_is_not_chosen():
    X = Poles().sample(np.array([4.0]), 200, np.random.default_rng(9))[1]
    options = {"max_iter": 40, "n_restarts": 4, "n_sleep": 30, "learning_rate_init": 0.1}
    fitted = quick(Diverging(everywhere=False), **options).fit(X)
    assert 0 < np.isinf(fitted.starts_["score"]).sum() < 4
    assert abs(fitted.theta_[0]) == pytest.approx(4, abs=0.5)
    with pytest.raises(ValueError, match=r"AmortisedWakeSleep: training diverged .* are not finite"):
        quick(Diverging(everywhere=True), **options).fit(X)


def test_partial_fit_has_one_start(X):
    fitted = ring().partial_fit(X)
    assert fitted.n_iter_ == 1
    assert len(fitted.starts_["steps"]) == 1


def test_warm_start_keeps_the_table(X):
    fitted = ring(warm_start=True).fit(X)
    table = fitted.starts_
    assert fitted.fit(X).starts_ is table
    assert fitted.n_iter_ == 16
