"""The training loop, with simple objectives whose values are known."""

import pickle

import numpy as np
import pytest

from skwakesleep._engine.arrays.numpy_backend import NumpyBackend
from skwakesleep._engine.arrays.random import Streams
from skwakesleep._engine.training import prior as prior_module
from skwakesleep._engine.training.loop import TrainingDivergedError, train
from skwakesleep._engine.training.optimizers import SGD, Adam
from skwakesleep._engine.training.prior import WeightPrior
from skwakesleep._engine.training.state import AVERAGING_DECAY, AVERAGING_STRIDE, Stopping, TrainingState

TABLE = np.random.default_rng(0).normal(size=(10, 2))


class Table:
    """Rows with a record of the indices that were taken."""

    def __init__(self, values=TABLE):
        self.values = values
        self.visits = []

    def __len__(self):
        return len(self.values)

    def take(self, indices):
        self.visits.append(indices.tolist())
        return self.values[indices]


class Quadratic:
    """``-|x - parameters|^2 / 2``, highest at the mean of the rows."""

    def __init__(self, parameters):
        self.parameters = parameters
        self.gradient = np.zeros_like(parameters)
        self.damping = self.prior = None

    def floor(self, nats):
        return -1e5 * nats

    def __call__(self, batch):
        np.subtract(batch.mean(axis=0), self.parameters, out=self.gradient)
        return -0.5 * float(((batch - self.parameters) ** 2).sum(axis=1).mean())


class Script:
    """Values read from a list, one for each batch; each moves the parameters by one."""

    def __init__(self, values, moves=None, offset=0.0, damping=None, prior=None):
        self.values = iter(values)
        self.moves = iter(moves if moves is not None else [1.0] * 1000)
        self.gradient = np.zeros(1)
        self.damping = damping
        self.prior = prior
        self.n_calls = 0
        self.offset = offset

    def floor(self, nats):
        return self.offset - nats

    def __call__(self, batch):
        self.n_calls += 1
        self.gradient[:] = next(self.moves)
        return next(self.values)


class Monitor:
    """Counts the epochs, and ends the training after some."""

    def __init__(self, stop_after=None):
        self.stop_after = stop_after
        self.begun = self.ended = 0

    def epoch_begin(self):
        self.begun += 1

    def epoch_end(self, state):
        self.ended += 1
        return state.n_epochs == self.stop_after


def sgd(learning_rate, size):
    return SGD(learning_rate)


def adam(learning_rate, size):
    return Adam(learning_rate, np.ones(size))


def fresh(optimizer=sgd, learning_rate=1.0, size=1):
    return TrainingState(np.zeros(size), optimizer(learning_rate, size), Streams(0))


def run(state, objective, rows=None, **options):
    defaults = {
        "n_epochs": 10,
        "batch_size": 10,
        "shuffle": True,
        "stopping": None,
        "validate": None,
        "monitor": Monitor(),
        "backend": NumpyBackend(),
    }
    train(state, objective, rows if rows is not None else Table(), **(defaults | options))
    return state


# ---------------------------------------------------------------------- epochs and batches


@pytest.mark.parametrize("batch_size", [1, 3, 10])
@pytest.mark.parametrize("shuffle", [True, False])
def test_every_row_once_an_epoch(batch_size, shuffle):
    state, table = fresh(size=2), Table()
    run(state, Quadratic(state.parameters), table, n_epochs=2, batch_size=batch_size, shuffle=shuffle)
    sizes = [len(visit) for visit in table.visits]
    assert sizes == 2 * ([batch_size] * (10 // batch_size) + [10 % batch_size] * (10 % batch_size > 0))
    first, second = np.reshape(np.concatenate(table.visits), (2, 10)).tolist()
    assert sorted(first) == sorted(second) == list(range(10))
    assert (first == list(range(10))) == (not shuffle)
    assert (first == second) == (not shuffle)


def test_the_bound_of_an_epoch_is_the_mean_over_its_rows():
    state = run(fresh(), Script([1.0, 2.0, 6.0]), n_epochs=1, batch_size=4)
    assert state.lower_bounds == [pytest.approx((4 * 1 + 4 * 2 + 2 * 6) / 10)]
    assert state.parameters == 3


@pytest.mark.parametrize("optimizer", [sgd, adam])
def test_the_objective_is_ascended(optimizer):
    state = fresh(optimizer, 0.1, size=2)
    run(state, Quadratic(state.parameters), n_epochs=300)
    np.testing.assert_allclose(state.parameters, TABLE.mean(axis=0), atol=1e-4)
    assert state.lower_bounds[-1] > state.lower_bounds[0]


@pytest.mark.parametrize(("optimizer", "expected"), [(adam, 0.5), (sgd, 1.0)])
def test_the_damping_of_the_objective_is_passed_to_the_optimizer(optimizer, expected):
    objective = Script([1.0], damping=np.array([0.5]))
    assert run(fresh(optimizer), objective, n_epochs=1).parameters == pytest.approx(expected)


@pytest.mark.parametrize("optimizer", [sgd, adam])
def test_the_prior_of_the_objective_is_passed_to_the_optimizer(optimizer, monkeypatch):
    monkeypatch.setattr(prior_module, "RISING_STEPS", 1)
    prior = WeightPrior(np.array([0.5]), n_rows=10, batch_size=10)
    plain, pulled = (
        run(fresh(optimizer, 0.1), Script([1.0] * 5, prior=given), n_epochs=5).parameters for given in (None, prior)
    )
    assert 0 < pulled < 0.99 * plain


def test_the_optimizer_uses_the_backend_that_is_handed_in():
    class Doubling(NumpyBackend):
        def adam(self, parameters, *arguments):
            parameters += 2

    assert run(fresh(adam), Script([1.0]), n_epochs=1, backend=Doubling()).parameters == 2


def test_a_monitor_sees_every_epoch_and_may_end_the_training():
    monitor = Monitor(stop_after=3)
    state = run(fresh(), Script([0.0] * 10), monitor=monitor)
    assert (monitor.begun, monitor.ended, state.n_epochs) == (3, 3, 3)
    assert not state.converged


# ---------------------------------------------------------------------- stopping


@pytest.mark.parametrize(
    ("values", "tol", "patience", "expected"),
    [
        ([0, 1, 2, 2, 2, 2, 2], 0.5, 2, 5),  # two epochs without improvement
        ([0, 1, 2, 2, 3, 3, 3], 0.5, 2, 7),  # an improvement starts the count again
        ([0, 0.1, 0.2, 0.3, 9], 0.5, 3, 4),  # improvements of at most tol do not count
        ([0, 0, 1, 1, 2, 2, 3], 0.0, 1, 2),
        ([3, 2, 1, 0, 5, 6, 7], 0.0, 3, 4),
        ([0, 1, 2, 3, 4, 5, 6], 0.5, 1, None),
        ([5, 4, 3, 2, 1, 0, 0], None, 1, None),  # no rule, no stop
    ],
)
@pytest.mark.parametrize("validated", [False, True])
def test_stopping_rule(values, tol, patience, expected, validated):
    """By the bound or, where there is validation, by the validation score alone."""
    stopping = None if tol is None else Stopping(tol, patience)
    scores = iter(map(float, values))
    validate = (lambda parameters: next(scores)) if validated else None
    objective = Script([float(i) for i in range(7)] if validated else values)
    state = run(fresh(), objective, n_epochs=7, stopping=stopping, validate=validate)
    assert state.n_epochs == (expected or 7)
    assert state.converged == (expected is not None)


# ---------------------------------------------------------------------- stopping by quarters


def is_met(scores, *, tol=0.01, n_steps=10**6):
    return Stopping(tol).is_met(scores, n_stale=99, n_steps=n_steps)


def test_the_last_quarter_is_compared_with_the_one_before():
    """By their means; other epochs do not count, nor does the number of stale epochs."""
    scores = [-99.0, 77.0, *6 * [0.0], 1.0, 3.0, 2.0, 2.0, 2.01, 1.01, 3.01, 2.01]  # means of 2 and 2.01
    assert is_met(scores, tol=0.0101)
    assert not is_met(scores, tol=0.0099)
    assert is_met(scores[:12] + [0.0] * 4)  # scores may fall
    # A remainder is left to the epochs before both quarters.
    assert is_met([5.0, 6.0, 7.0, *scores], tol=0.0101)
    assert not is_met([5.0, 6.0, 7.0, *scores], tol=0.0099)


def test_noise_of_single_epochs_does_not_decide():
    noise = np.random.default_rng(3).normal(size=400)
    rising, still = np.linspace(0, 5, 400) + noise, noise
    assert not is_met(rising.tolist(), tol=0.3)
    assert is_met(still.tolist(), tol=0.3)


@pytest.mark.parametrize(("n_epochs", "n_steps", "expected"), [(9, 1000, False), (10, 999, False), (10, 1000, True)])
def test_quarters_are_compared_after_ten_epochs_and_a_thousand_steps(n_epochs, n_steps, expected):
    assert is_met([0.0] * n_epochs, n_steps=n_steps) == expected
    assert type(is_met([0.0] * n_epochs, n_steps=n_steps)) is bool


def test_a_number_of_epochs_is_used_as_it_is():
    """The user's number, from the first epoch on, whatever the number of steps."""
    for n_stale, expected in ((2, False), (3, True), (4, True)):
        assert Stopping(0.01, 3).is_met([0.0, 1.0], n_stale=n_stale, n_steps=1) == expected


STEPS = 1000  # in an epoch, so that the number of epochs decides


class Rows(Table):
    """As many rows as steps, in batches of one."""

    def __init__(self):
        super().__init__(np.zeros((STEPS, 1)))


def epochs_of(scores):
    return Script(np.repeat(np.asarray(scores, float), STEPS), moves=[0.0] * (STEPS * len(scores)))


def run_long(state, scores, **options):
    """Train with given scores, of held-out rows if `validated`, for as many epochs as there are."""
    if options.pop("validated", False):
        values = iter(map(float, scores))
        options["validate"] = lambda parameters: next(values)
        scores = [0.0] * len(scores)
    options = {"n_epochs": len(scores), "stopping": Stopping(0.1), "batch_size": 1, **options}
    return run(state, epochs_of(scores), Rows(), **options)


@pytest.mark.parametrize("validated", [False, True])
def test_training_ends_when_quarters_are_alike(validated):
    rising_then_still = [0.0, 1, 2, 3, 4, 5, 6, 7, 8, 8, 8, 8, 8, 8, 8, 8, 8]
    state = run_long(fresh(), rising_then_still, validated=validated)
    assert (state.n_epochs, state.converged) == (14, True)  # the last six epochs are two quarters of 14
    rising = run_long(fresh(), range(17), validated=validated)
    assert (rising.n_epochs, rising.converged) == (17, False)


def test_quarters_of_a_resumed_training_are_those_of_an_uninterrupted_one():
    scores = [0.0, 1, 2, 3, 4, 5, 6, 7, 8, 8, 8, 8, 8, 8, 8, 8, 8]
    whole = run_long(fresh(), scores)
    state = run_long(fresh(), scores[:7])
    state = pickle.loads(pickle.dumps(state))
    run_long(state, scores[7:])
    assert (state.n_epochs, state.converged) == (whole.n_epochs, whole.converged) == (14, True)


@pytest.mark.parametrize(("rows_id", "expected"), [("same", 10), ("other", 17)])
def test_scores_of_other_rows_are_not_compared(rows_id, expected):
    """They get ten epochs and a thousand steps of their own."""
    state = run_long(fresh(), [0.0] * 7, rows_id="same")
    run_long(state, [0.0] * 20, rows_id=rows_id)
    assert (state.n_epochs, state.converged) == (expected, True)


def test_after_convergence_training_gets_ten_more_epochs():
    state = run_long(fresh(), [0.0] * 20)
    assert state.n_epochs == 10
    run_long(state, [0.0] * 20)
    assert (state.n_epochs, state.converged) == (20, True)


def test_steps_of_earlier_rows_do_not_count():
    state = run_long(fresh(), [0.0] * 20, rows_id="same")
    options = {"stopping": Stopping(0.1), "batch_size": 10, "n_epochs": 200}  # a step an epoch
    run(state, Script([0.0] * 200, moves=[0.0] * 200), rows_id="other", **options)
    assert not state.converged


def test_added_validation_starts_the_comparison_again():
    state = run_long(fresh(), [0.0] * 9)
    run_long(state, [0.0] * 9, validated=True)
    assert not state.converged
    run_long(state, [0.0] * 9, validated=True)
    assert (state.n_epochs, state.converged) == (19, True)


# ---------------------------------------------------------------------- after convergence


def test_more_epochs_after_convergence_are_all_trained():
    state = run(fresh(), Script([0.0] * 20), stopping=Stopping(0.1, 3))
    assert (state.n_epochs, state.converged) == (4, True)
    run(state, Script([0.0] * 20), n_epochs=2, stopping=Stopping(0.1, 3))
    assert (state.n_epochs, state.converged) == (6, False)


@pytest.mark.parametrize(
    ("stopping", "monitor", "exhausted"),
    [(None, Monitor(), True), (Stopping(0.1, 3), Monitor(), False), (None, Monitor(stop_after=2), False)],
)
def test_train_returns_whether_epochs_ran_out(stopping, monitor, exhausted):
    state, objective = fresh(), Script([0.0] * 10)
    options = {"n_epochs": 10, "batch_size": 10, "shuffle": True, "validate": None, "backend": NumpyBackend()}
    assert train(state, objective, Table(), stopping=stopping, monitor=monitor, **options) == exhausted


# ---------------------------------------------------------------------- the best parameters


def test_the_best_parameters_on_held_out_rows_are_kept():
    scores, seen = [-3.0, -1.0, -2.0, -1.5], []

    def validate(parameters):
        seen.append(parameters.copy())
        return scores[len(seen) - 1]

    state = run(fresh(), Script([0.0] * 4), n_epochs=4, validate=validate)
    assert state.validation_scores == scores
    assert state.best_score == -1.0
    assert state.parameters == 4
    assert state.selected_parameters == seen[1] != seen[3]


def test_the_smallest_improvement_is_kept():
    """Even if it is too small for training to continue."""
    scores = iter([0.0, 0.1])
    state = run(fresh(), Script([0.0] * 2), n_epochs=2, stopping=Stopping(1.0, 5), validate=lambda _: next(scores))
    assert state.selected_parameters == state.average


def test_without_held_out_rows_the_average_is_used():
    state = run(fresh(), Script([3.0, 2.0, 1.0]), n_epochs=3)
    assert state.best_parameters is None
    assert state.selected_parameters is state.average


def averaged_run(n_epochs):
    """Return a state after a random walk, its iterates, and the steps at which the average was updated."""
    moves = np.random.default_rng(1).normal(size=2 * n_epochs)
    state = run(fresh(), Script([0.0] * len(moves), moves), batch_size=5, n_epochs=n_epochs)
    due = [1]
    for step in range(2, len(moves) + 1):
        if step >= due[-1] * (1 + AVERAGING_STRIDE):
            due.append(step)
    return state, np.cumsum(moves), np.array(due)


@pytest.mark.parametrize("n_epochs", [1, 20, 1000])
def test_iterates_are_averaged(n_epochs):
    """The weights are differences of a power of the share of the steps."""
    state, iterates, due = averaged_run(n_epochs)
    weights = np.diff((due / due[-1]) ** AVERAGING_DECAY, prepend=0)
    assert state.parameters == pytest.approx(iterates[-1])
    assert state.average == pytest.approx(weights @ iterates[due - 1])
    assert due[-1] > len(iterates) * (1 - AVERAGING_STRIDE)


def test_the_average_is_that_of_polynomial_decay():
    """Compared with Shamir & Zhang (2013), section 4, who average every iterate."""
    state, iterates, due = averaged_run(1000)
    average = 0.0
    for t, iterate in enumerate(iterates, start=1):
        share = AVERAGING_DECAY / (t + AVERAGING_DECAY - 1)
        average = (1 - share) * average + share * iterate
    spread = iterates[-len(iterates) // AVERAGING_DECAY :].std()
    assert abs(state.average[0] - average) < 0.1 * spread
    assert len(due) < len(iterates) / 1.2


def test_iterates_that_do_not_change_are_their_average():
    state = fresh()
    state.parameters[...] = state.average[...] = 1 / 3
    run(state, Script([0.0] * 10, moves=[0.0] * 10))
    assert state.average == state.parameters


# ---------------------------------------------------------------------- divergence

LOST = {
    "nan": ([1.0, 2.0, np.nan], None),
    "-inf": ([1.0, 2.0, -np.inf], None),
    "below the floor": ([1.0, 2.0, -101.0], None),
    "lost parameters": ([1.0, 2.0, 3.0], [1.0, 1.0, np.nan]),
}


@pytest.mark.parametrize("how", LOST)
def test_divergence_restores_the_last_state_known_to_be_good(how):
    """The lower bound of an epoch is of the parameters before its steps; the last step may have diverged."""
    state = fresh()
    with pytest.raises(TrainingDivergedError, match="diverged at epoch 3") as caught:
        run(state, Script(*LOST[how]))
    assert caught.value.epoch == 3
    assert state.parameters == 1
    assert state.average == run(fresh(), Script([1.0]), n_epochs=1).average
    assert state.lower_bounds == [1.0, 2.0]


@pytest.mark.parametrize("move", [np.nan, 1e200])
def test_training_goes_on_after_a_divergence(move):
    """The optimizer is reset, since moments of infinite gradients would make all later steps useless."""
    state = fresh(adam, 0.1)
    with np.errstate(over="ignore"), pytest.raises(TrainingDivergedError):
        run(state, Script([1.0, 2.0, 3.0, np.nan], moves=[1.0, 1.0, move, 1.0]), batch_size=5)
    assert state.n_epochs == 1
    before = state.parameters.copy()
    run(state, Script([3.0] * 10), batch_size=5, n_epochs=5)
    np.testing.assert_allclose(state.parameters - before, 10 * 0.1, rtol=1e-6)


def test_an_epoch_ends_when_the_objective_is_not_a_number():
    objective = Script([np.nan] * 10)
    with pytest.raises(TrainingDivergedError):
        run(fresh(), objective, batch_size=1)
    assert objective.n_calls == 1


def test_one_outlying_batch_is_no_divergence():
    state = run(fresh(), Script([10.0] * 9 + [-500.0]), batch_size=1, n_epochs=1)
    assert state.lower_bounds == [pytest.approx(-41.0)]


def test_a_floor_may_be_positive():
    """Log-densities of columns in small units are positive."""
    objective = Script([20.0, 21.0, 22.0, 23.0], offset=60.0)
    state = run(fresh(), objective, batch_size=5, n_epochs=2)
    assert state.lower_bounds == [20.5, 22.5]
    assert state.parameters == 4


# ---------------------------------------------------------------------- resuming


@pytest.mark.parametrize("optimizer", [sgd, adam])
@pytest.mark.parametrize("validated", [False, True])
@pytest.mark.parametrize(
    "between", [lambda state: state, TrainingState.copy, lambda state: pickle.loads(pickle.dumps(state))]
)
def test_training_in_two_parts_gives_the_same_result(optimizer, validated, between):
    def further(state, n_epochs):
        validate = (lambda parameters: -abs(parameters - 0.2).sum()) if validated else None
        objective = Quadratic(state.parameters)
        return run(state, objective, n_epochs=n_epochs, batch_size=3, validate=validate, stopping=Stopping(0.0, 50))

    whole = further(fresh(optimizer, 0.05, size=2), 10)
    halves = further(between(further(fresh(optimizer, 0.05, size=2), 4)), 6)
    np.testing.assert_array_equal(halves.parameters, whole.parameters)
    np.testing.assert_array_equal(halves.selected_parameters, whole.selected_parameters)
    assert halves.lower_bounds == whole.lower_bounds
    assert halves.validation_scores == whole.validation_scores
    assert (halves.best_score, halves.n_stale) == (whole.best_score, whole.n_stale)


@pytest.mark.parametrize("validated_first", [True, False])
def test_scores_are_not_compared_with_bounds(validated_first):
    """If held-out rows are added or removed, the best score so far does not count."""
    state = fresh()
    for validated in (validated_first, not validated_first):
        offset = 100.0 if validated == validated_first else 0.0
        scores = iter([offset + 1.0, offset + 2.0])
        bounds = [offset + 1.0, offset + 2.0]
        validate = (lambda parameters, scores=scores: next(scores)) if validated else None
        run(state, Script(bounds), n_epochs=2, validate=validate, stopping=Stopping(0.1, 2))
    assert not state.converged
    assert state.best_score == 2.0
    np.testing.assert_array_equal(state.selected_parameters, state.average)


def test_training_a_copy_does_not_change_the_state():
    state = fresh(adam, 0.1, size=2)
    run(state, Quadratic(state.parameters), n_epochs=2)
    kept = pickle.dumps(state)
    duplicate = state.copy()
    run(duplicate, Quadratic(duplicate.parameters), n_epochs=3)
    assert duplicate.n_epochs == 5
    assert pickle.dumps(pickle.loads(kept)) == pickle.dumps(pickle.loads(pickle.dumps(state)))


def test_every_iterate_is_projected():
    objective = Script([1.0] * 3, [1.0, 1.0, -5.0])
    state = run(fresh(), objective, n_epochs=3, project=lambda parameters: np.minimum(parameters, 1.5))
    assert state.parameters == 1.5 - 5
