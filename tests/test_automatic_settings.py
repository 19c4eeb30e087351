"""Parameters that are "auto": the rows in a mini-batch, the number of epochs, and when training ends."""

import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from skwakesleep import HelmholtzMachine
from skwakesleep._adapters.fitting import FitMonitor
from skwakesleep._engine.machine.wake_sleep import WakeSleep
from skwakesleep.callbacks import ScoreMonitor
from skwakesleep.datasets import make_bars


def table(n_rows, seed=0):
    return make_bars(n_rows, random_state=seed)[0]


def machine(**parameters):
    return HelmholtzMachine(**({"hidden_layer_sizes": 2, "random_state": 0} | parameters))


def never(**parameters):
    """Return a machine whose training ends with the last epoch alone."""
    return machine(**({"tol": None, "early_stopping": False} | parameters))


@pytest.fixture
def batches(monkeypatch):
    """Record the number of rows of each mini-batch, and do not compute."""
    sizes = []

    def record(self, batch):
        sizes.append(len(batch.units))
        self.gradient[...] = 0
        return -1.0

    monkeypatch.setattr(WakeSleep, "__call__", record)
    return sizes


# ---------------------------------------------------------------------- batch_size


@pytest.mark.parametrize(("n_rows", "expected"), [(1, 1), (9, 1), (10, 1), (11, 2), (100, 10), (999, 100), (5000, 100)])
def test_a_batch_is_a_tenth_of_a_small_table_and_at_most_a_hundred_rows(n_rows, expected, batches):
    never(max_iter=1).fit(np.resize([[0.0, 1.0], [1.0, 0.0]], (n_rows, 2)))
    assert max(batches) == expected
    assert sum(batches) == n_rows


def test_a_batch_is_a_tenth_of_the_rows_that_are_not_held_out(batches):
    never(max_iter=1, early_stopping=True, validation_fraction=0.5).fit(table(400))
    assert max(batches) == 20


def test_a_number_of_rows_is_used_as_it_is(batches):
    never(max_iter=1, batch_size=150).fit(table(300))
    assert batches == [150, 150]


# ---------------------------------------------------------------------- max_iter


@pytest.mark.parametrize(("n_rows", "batch_size", "expected"), [(100, "auto", 500), (300, 1, 20), (300, 7, 117)])
def test_the_number_of_epochs_is_twenty_or_that_of_five_thousand_steps(n_rows, batch_size, expected, batches):
    fitted = never(batch_size=batch_size).fit(table(n_rows))
    assert fitted.n_iter_ == expected
    assert 5000 <= len(batches) < 6001


def test_the_last_epoch_gives_no_warning(batches):
    """Unlike a number of epochs that the user sets."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted = machine(tol=0.0, n_iter_no_change=10**6).fit(table(200))
    assert not fitted.converged_
    with pytest.warns(ConvergenceWarning, match="reached max_iter=20"):
        machine(tol=0.0, n_iter_no_change=10**6, max_iter=20).fit(table(200))


def test_a_warm_start_trains_for_as_many_epochs_again(batches):
    fitted = never(warm_start=True, batch_size=1).fit(table(300))
    assert fitted.fit(table(300)).n_iter_ == 40
    assert fitted.fit(table(5000, seed=1)).n_iter_ == 60  # 20 epochs on other rows


def test_two_halves_of_a_training_equal_one():
    """The second half ends when the whole one does."""
    X = table(200)
    whole = machine().fit(X)
    assert whole.converged_
    half = machine(warm_start=True, max_iter=whole.n_iter_ // 2)
    with pytest.warns(ConvergenceWarning):
        half.fit(X)
    half.set_params(max_iter="auto").fit(X)
    assert half.n_iter_ == whole.n_iter_
    assert half.lower_bounds_ == whole.lower_bounds_
    np.testing.assert_array_equal(half.components_, whole.components_)


def test_partial_fit_trains_for_one_epoch(batches):
    assert machine().partial_fit(table(100)).n_iter_ == 1
    assert len(batches) == 10


def test_callbacks_are_called_after_each_epoch(batches):
    pytest.importorskip("sklearn.callback", reason="scikit-learn has no callbacks before 1.9")
    monitor, X = ScoreMonitor(table(5)), table(300)
    assert never(batch_size=1).set_callbacks(monitor).fit(X).n_iter_ == 20
    assert monitor.epochs_ == list(range(1, 21))


def test_the_progress_bar_has_the_number_of_epochs(batches, monkeypatch):
    begun, prepare = [], FitMonitor.__init__
    monkeypatch.setattr(FitMonitor, "__init__", lambda *given: (begun.append(given[3]), prepare(*given))[1])
    never(batch_size=1).fit(table(300)).partial_fit(table(5))
    assert begun == [20, 1]


# ---------------------------------------------------------------------- n_iter_no_change


def test_a_default_fit_converges_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted = machine().fit(table(300))
    assert fitted.converged_
    quarter = fitted.n_iter_ // 4
    last, before = (
        np.mean(part) for part in (fitted.lower_bounds_[-quarter:], fitted.lower_bounds_[-2 * quarter : -quarter])
    )
    assert last - before <= fitted.tol


@pytest.mark.parametrize("parameter", ["batch_size", "max_iter", "n_iter_no_change"])
def test_other_words_are_errors(parameter):
    with pytest.raises(ValueError, match=f"The '{parameter}' parameter of HelmholtzMachine must be"):
        machine(**{parameter: "all"}).fit(table(20))


def test_auto_is_the_default():
    parameters = clone(machine()).get_params()
    assert {parameters[name] for name in ("batch_size", "max_iter", "n_iter_no_change")} == {"auto"}


# ---------------------------------------------------------------------- autoregressive


def layers_of(X, **parameters):
    return set(machine(max_iter=1, tol=None, **parameters).fit(X)._fitted.machine.autoregressive)


def test_columns_are_connected_unless_most_are_grey_levels():
    rng = np.random.default_rng(0)
    binary, grey = table(40), rng.random((40, table(40).shape[1]))
    assert layers_of(binary) == {"prior", "visible"}
    assert layers_of(grey) == {"prior"}
    assert layers_of(np.hstack([binary, grey[:, :1]])) == {"prior", "visible"}
    assert layers_of(np.hstack([binary[:, :1], grey])) == {"prior"}
    assert layers_of(grey * 5) == {"prior", "visible"}  # real columns
    assert layers_of(grey, autoregressive="visible") == {"visible"}


def test_a_stream_keeps_the_layers_of_its_first_part():
    rng = np.random.default_rng(0)
    stream = machine(tol=None).partial_fit(table(40))
    stream.partial_fit(rng.random(table(40).shape))
    assert set(stream._fitted.machine.autoregressive) == {"prior", "visible"}
