"""Interrupts and lack of memory end a fit and what called it. The epochs completed so far are kept."""

import pickle
import sys
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.utils.validation import check_is_fitted

import skwakesleep
from skwakesleep import HelmholtzMachine
from skwakesleep._engine.machine.wake_sleep import WakeSleep

PACKAGE = str(Path(skwakesleep.__file__).parent)


@pytest.fixture
def interrupt_at(monkeypatch):
    """Return a function that makes one of the next steps of training raise KeyboardInterrupt."""
    learn = WakeSleep.__call__

    def set_step(step):
        steps = count()

        def learn_or_stop(objective, batch):
            if next(steps) == step:
                raise KeyboardInterrupt
            return learn(objective, batch)

        monkeypatch.setattr(WakeSleep, "__call__", learn_or_stop)

    return set_step


@pytest.mark.parametrize(("step", "n_epochs"), [(3, 1), (7, 2)])
def test_completed_epochs_of_an_interrupted_fit_are_kept(step, n_epochs, table, small, interrupt_at):
    machine = small(warm_start=True)
    interrupt_at(step)
    with pytest.raises(KeyboardInterrupt) as caught:
        machine.fit(table)
    assert f"interrupted after {n_epochs} epochs" in caught.value.__notes__[0]
    assert machine.n_iter_ == n_epochs
    assert np.isfinite(machine.score(table))
    assert machine.fit(table).n_iter_ == n_epochs + 4


@pytest.mark.parametrize("fit", ["fit", "partial_fit"])
@pytest.mark.parametrize("step", [0, 1])
def test_without_a_completed_epoch_the_earlier_fit_is_kept(step, fit, table, small, interrupt_at):
    machine, unfitted = small().fit(table), small()
    before = pickle.dumps(machine)
    for one in machine, unfitted:
        interrupt_at(step)
        with pytest.raises(KeyboardInterrupt):
            getattr(one, fit)(table)
    assert pickle.dumps(machine) == before
    with pytest.raises(NotFittedError):
        check_is_fitted(unfitted)


def test_an_interrupt_ends_a_search(binary, small, interrupt_at):
    fits = []

    class Counted(HelmholtzMachine):
        def fit(self, X, y=None):
            fits.append(self)
            return super().fit(X)

    machine = Counted(3, batch_size=16, max_iter=4, tol=None)
    interrupt_at(7)
    with pytest.raises(KeyboardInterrupt):
        GridSearchCV(machine, {"alpha": [0, 1e-3]}, cv=2).fit(binary)
    assert len(fits) == 1


# ---------------------------------------------------------------------- at every line


def raise_at_line(number, error):
    """Return a trace function that raises at the given executed line of the package, and the counter of lines."""
    lines = count()

    def trace_lines(frame, event, argument):
        if event == "line" and next(lines) == number:
            sys.settrace(None)
            raise error
        return trace_lines

    def trace_calls(frame, event, argument):
        inside = frame.f_code.co_filename.startswith(PACKAGE) and frame.f_code.co_name != "__setattr__"
        return trace_lines if inside else None

    return trace_calls, lines


def n_lines_of(call):
    trace, lines = raise_at_line(-1, None)
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(None)
    return next(lines)


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_an_error_at_any_line_leaves_a_usable_machine(early_stopping, error, real):
    options = {"early_stopping": early_stopping, "validation_fraction": 0.25, "max_iter": 2, "tol": 1e9}
    fitted = HelmholtzMachine(2, batch_size=20, n_iter_no_change=9, random_state=0, **options)
    with pytest.warns(Warning, match="max_iter"):
        fitted.fit(real)
    scores = fitted.score_samples(real)
    saved = pickle.dumps(fitted)

    def refit(machine):
        machine.set_params(random_state=1).fit(real)

    with pytest.warns(Warning, match="max_iter"):
        n_lines = n_lines_of(lambda: refit(pickle.loads(saved)))
    assert n_lines > 500
    for number in np.linspace(0, n_lines - 1, 60).astype(int):
        machine = pickle.loads(saved)
        trace, _ = raise_at_line(number, error)
        sys.settrace(trace)
        try:
            refit(machine)
        except error:
            pass
        except Warning:
            pass
        finally:
            sys.settrace(None)
        n_scores = len(machine.validation_scores_)
        assert n_scores == (machine.n_iter_ if early_stopping else 0)
        assert len(machine.lower_bounds_) == machine.n_iter_ >= 1
        assert np.isfinite(machine.score_samples(real)).all()
        if error is MemoryError and machine.n_iter_ != 2:
            assert_array_equal(machine.score_samples(real), scores)
