"""Equal seeds give equal machines, training can be resumed, and only `fit` and `partial_fit` change a machine."""

import os
import pickle
import random
import re
import warnings
import weakref
from concurrent.futures import ThreadPoolExecutor
from copy import copy

import joblib
import numpy as np
import pytest
import sklearn
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

from skwakesleep import HelmholtzMachine
from skwakesleep._engine.machine.wake_sleep import WakeSleep
from skwakesleep.datasets import make_bars

SOLVERS = ["adam", "sgd"]
RECOGNITION_UPDATES = ["wake", "sleep", "both"]


def assert_same(machine, other):
    """Assert that the fitted attributes of two machines are bit-equal."""
    for name in "generative_coefs_", "generative_intercepts_", "recognition_coefs_", "recognition_intercepts_":
        for array, other_array in zip(getattr(machine, name), getattr(other, name), strict=True):
            assert array.dtype == other_array.dtype
            assert_array_equal(array, other_array)
    for name in "prior_intercept_", "lower_bounds_", "lower_bound_", "validation_scores_", "n_iter_", "converged_":
        assert_array_equal(getattr(machine, name), getattr(other, name))
    # The variances of Gaussian columns are not public. Samples depend on them.
    assert_array_equal(machine.sample(3, random_state=0), other.sample(3, random_state=0))


def differ(machine, other):
    return not np.array_equal(machine.components_, other.components_)


# ---------------------------------------------------------------------- seeds


@pytest.mark.parametrize("seed", [7, np.random.RandomState], ids=["int", "RandomState"])
def test_equal_seeds_give_equal_machines(seed, table, small):
    first, second = (small(random_state=seed if seed == 7 else seed(7)).fit(table) for _ in range(2))
    assert_same(first, second)
    assert differ(first, small(random_state=8).fit(table))


def test_numpy_scalars_and_numbers_give_equal_machines(table, small):
    """NumPy scalars, such as those of np.logspace, must not promote float32 arrays to float64."""
    numbers = {"learning_rate_init": 0.2, "alpha": 1e-3, "n_particles": 5, "batch_size": 16, "max_iter": 20}
    scalars = {name: np.array(value)[()] for name, value in numbers.items()}
    assert_same(*(small(**parameters).fit(table.astype(np.float32)) for parameters in (numbers, scalars)))


def test_machine_without_a_seed_depends_on_the_global_generator(table, small):
    state = np.random.get_state()  # noqa: NPY002
    first = small(random_state=None).fit(table)
    samples = first.sample(3)
    assert differ(first, small(random_state=None).fit(table))
    np.random.set_state(state)  # noqa: NPY002
    again = small(random_state=None).fit(table)
    assert_same(first, again)
    assert_array_equal(again.sample(3), samples)
    assert not np.array_equal(again.sample(3), samples)


def test_second_fit_equals_a_first_fit(table, small):
    machine = small().fit(table)
    first = clone(machine).fit(table)
    assert_same(machine.partial_fit(table).fit(table), first)


def test_clone_is_unfitted_and_gives_an_equal_fit(table, small):
    machine = small(early_stopping=True).fit(table)
    cloned = clone(machine)
    assert vars(cloned) == machine.get_params()
    assert_same(cloned.fit(table), machine)


def test_parallel_grid_search_equals_serial_one(binary, small):
    grid = {"hidden_layer_sizes": [2, (3, 2)], "n_particles": [2, 5]}
    serial, parallel = (GridSearchCV(small(), grid, cv=2, n_jobs=n_jobs).fit(binary) for n_jobs in (1, 2))
    for split in "split0_test_score", "split1_test_score":
        assert_array_equal(serial.cv_results_[split], parallel.cv_results_[split])
    assert_same(serial.best_estimator_, parallel.best_estimator_)


# ---------------------------------------------------------------------- resumed training


@pytest.mark.parametrize(("early_stopping", "dtype"), [(False, np.float64), (True, np.float32)])
@pytest.mark.parametrize("recognition_update", RECOGNITION_UPDATES)
@pytest.mark.parametrize("solver", SOLVERS)
def test_two_warm_started_halves_equal_one_fit(solver, recognition_update, early_stopping, dtype, table, small):
    table = table.astype(dtype)
    parameters = {"solver": solver, "recognition_update": recognition_update, "early_stopping": early_stopping}
    whole = small(max_iter=6, **parameters).fit(table)
    half = small(max_iter=3, warm_start=True, **parameters).fit(table)
    assert whole.components_.dtype == np.float32
    assert_same(pickle.loads(pickle.dumps(half)).fit(table), whole)
    assert_same(half.fit(table), whole)


@pytest.mark.parametrize("n_epochs", [1, 3, 5])
def test_epochs_without_improvement_are_counted_across_warm_starts(n_epochs, table, small):
    patience = {"tol": 1e9, "n_iter_no_change": 5}  # only the first epoch improves by more than `tol`
    whole = small(max_iter=10, **patience).fit(table)
    with pytest.warns(ConvergenceWarning):
        machine = small(max_iter=n_epochs, warm_start=True, **patience).fit(table)
    machine.set_params(max_iter=10).fit(table)
    assert machine.converged_
    assert machine.n_iter_ == 6
    assert_same(machine, whole)


@pytest.mark.parametrize("solver", SOLVERS)
def test_partial_fit_by_epochs_equals_one_fit(solver, table, small, monkeypatch):
    """If the rows of all calls count once; see below."""
    prepare = WakeSleep.__init__

    def prepare_for_the_table(*given, **options):
        prepare(*given, **{**options, "n_rows": len(table)})

    monkeypatch.setattr(WakeSleep, "__init__", prepare_for_the_table)
    whole = small(solver=solver, max_iter=3).fit(table)
    machine = small(solver=solver)
    for n_epochs in 1, 2, 3:
        assert machine.partial_fit(table) is machine
        assert machine.n_iter_ == n_epochs
    assert_same(machine, whole)
    assert_same(small(solver=solver, max_iter=2).fit(table).partial_fit(table), whole)


def test_one_call_of_partial_fit_equals_a_fit_of_one_epoch(table, small):
    assert_same(small().partial_fit(table), small(max_iter=1).fit(table))


def test_the_rows_of_all_calls_of_partial_fit_count(table, small, monkeypatch):
    """They have the information about the weights. A fit starts the count again."""
    seen, prepare = [], WakeSleep.__init__

    def prepare_and_record(*given, **options):
        seen.append(options["n_rows"])
        prepare(*given, **options)

    monkeypatch.setattr(WakeSleep, "__init__", prepare_and_record)
    machine = small(max_iter=3, warm_start=True).partial_fit(table[:20]).partial_fit(table[20:23])
    machine = pickle.loads(pickle.dumps(machine)).partial_fit(table)
    assert seen == [20, 23, 23 + len(table)]
    machine.fit(table).partial_fit(table[:7])
    assert seen[3:] == [len(table), len(table) + 7]


def test_held_out_rows_do_not_count(table, small, monkeypatch):
    seen, prepare = [], WakeSleep.__init__
    monkeypatch.setattr(
        WakeSleep, "__init__", lambda *given, **options: (seen.append(options), prepare(*given, **options))[1]
    )
    small(early_stopping=True, validation_fraction=0.2).fit(table)
    assert seen[0]["n_rows"] == len(table) - round(0.2 * len(table))


def test_partial_fit_continues_an_early_stopped_fit(table, small):
    machine = small(early_stopping=True, validation_fraction=0.2).fit(table)
    components = machine.components_.copy()
    assert not np.array_equal(machine.partial_fit(table).components_, components)


def test_partial_fit_after_pickling_equals_partial_fit(table, small):
    machine = small().partial_fit(table)
    assert_same(pickle.loads(pickle.dumps(machine)).partial_fit(table), machine.partial_fit(table))


@pytest.mark.parametrize("train", ["fit", "partial_fit"])
def test_training_a_shallow_copy_does_not_change_the_machine(train, table, small):
    machine = small(warm_start=True, early_stopping=True).fit(table)
    before = pickle.dumps(machine)
    trained = getattr(copy(machine), train)(table)
    assert trained.n_iter_ > machine.n_iter_
    assert pickle.dumps(machine) == before


@pytest.mark.parametrize("early_stopping", [False, True])
def test_memory_mapped_machine_evaluates_and_trains(early_stopping, table, small, tmp_path):
    machine = small(early_stopping=early_stopping, warm_start=True).fit(table)
    joblib.dump(machine, tmp_path / "machine")
    mapped = joblib.load(tmp_path / "machine", mmap_mode="r")
    assert not mapped.components_.flags.writeable
    assert_array_equal(mapped.transform(table), machine.transform(table))
    assert_array_equal(mapped.score_samples(table), machine.score_samples(table))
    assert_same(mapped.partial_fit(table).fit(table), machine.partial_fit(table).fit(table))


@pytest.mark.statistical
@pytest.mark.parametrize("early_stopping", [False, True])
def test_warm_start_on_other_rows_is_not_stopped_by_scores_of_the_first_rows(early_stopping):
    """The second rows have a lower likelihood. The fit is as good as without `tol`."""
    easy = np.repeat([[0.0, 1.0] * 8], 300, axis=0)
    hard = make_bars(300, random_state=1)[0]
    options = {"early_stopping": early_stopping, "random_state": 0, "warm_start": True}
    stopped, free = (HelmholtzMachine(8, tol=tol, max_iter=40, **options) for tol in (1e-4, None))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for machine in stopped, free:
            machine.fit(easy).set_params(max_iter=60).fit(hard)
    assert stopped.score(hard) > free.score(hard) - 1
    assert stopped.score(hard) > -12  # it was -17.7 without and -57 with early stopping


@pytest.mark.statistical
@pytest.mark.parametrize("early_stopping", [False, True])
def test_warm_start_on_more_rows_improves_the_fit(early_stopping, small):
    """The held-out rows change. The best parameters of the first fit are scored again on the new ones."""
    X = make_bars(900, random_state=0)[0]
    machine = small(hidden_layer_sizes=8, warm_start=True, early_stopping=early_stopping, max_iter=5).fit(X[:300])
    before = machine.score(X)
    machine.set_params(learning_rate_init=0.2, max_iter=20).fit(X)
    assert machine.n_iter_ == 25
    assert machine.score(X) > before + 1


def test_best_parameters_of_the_first_fit_are_kept_if_best_on_the_new_rows():
    X = make_bars(600, random_state=0)[0]
    options = {"early_stopping": True, "warm_start": True, "random_state": 0, "tol": None}
    machine = HelmholtzMachine(8, max_iter=30, **options).fit(X[:300])
    components = machine.components_.copy()
    machine.set_params(learning_rate_init=50.0, max_iter=1).fit(X)
    assert machine.validation_scores_[-1] < max(machine.validation_scores_) - 1
    assert_array_equal(machine.components_, components)


# ---------------------------------------------------------------------- side effects

METHODS = {
    "transform": lambda machine, table: machine.transform(table),
    "score_samples": lambda machine, table: machine.score_samples(table),
    "score": lambda machine, table: machine.score(table),
    "sample": lambda machine, table: machine.sample(10),
    "sample with a seed": lambda machine, table: machine.sample(10, random_state=0),
    "inverse_transform": lambda machine, table: machine.inverse_transform(machine.transform(table)),
    "get_feature_names_out": lambda machine, table: machine.get_feature_names_out(),
    "attributes": lambda machine, table: (machine.generative_coefs_, machine.components_, machine.prior_intercept_),
}


@pytest.mark.parametrize("hidden_layer_sizes", [3, (20, 3)], ids=["enumerated", "sampled"])
@pytest.mark.parametrize("method", METHODS)
def test_method_other_than_training_does_not_change_the_machine(method, hidden_layer_sizes, table, small):
    machine = small(hidden_layer_sizes=hidden_layer_sizes, early_stopping=True, random_state=None).fit(table)
    before, names = pickle.dumps(machine), set(vars(machine))
    METHODS[method](machine, table)
    assert set(vars(machine)) == names
    assert pickle.dumps(machine) == before


@pytest.mark.parametrize("fit", ["fit", "partial_fit"])
def test_training_does_not_change_constructor_parameters(fit, table, small):
    machine = small(hidden_layer_sizes=[3, 2], random_state=np.random.RandomState(0))
    before = {name: (value, repr(value)) for name, value in machine.get_params().items()}
    getattr(machine, fit)(table)
    for name, value in machine.get_params().items():
        assert value is before[name][0]
        assert repr(value) == before[name][1]


def global_state():
    """Return all global state that an estimator must not change."""
    generators = np.random.get_state(), random.getstate()  # noqa: NPY002
    settings = np.geterr(), sklearn.get_config(), dict(os.environ)
    return pickle.dumps((generators, settings)), list(warnings.filters)


@pytest.fixture
def unusual_global_state():
    """Set a seed and error handling that neither the package nor another test sets."""
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(12345)  # noqa: NPY002
    with np.errstate(divide="print", over="print", invalid="print"):
        yield
    np.random.set_state(state)  # noqa: NPY002


@pytest.mark.usefixtures("unusual_global_state")
def test_global_state_is_not_changed(table, small):
    before = global_state()
    machine = small(early_stopping=True).fit(table)
    assert global_state() == before
    machine.partial_fit(table)
    assert global_state() == before
    for name, method in METHODS.items():
        method(machine, table)
        draws_from_global_generator = name == "sample"  # without a seed
        assert (global_state() != before) == draws_from_global_generator
        before = global_state()
    with pytest.raises(ValueError, match="diverged"):
        machine.set_params(learning_rate_init=1e3, max_iter=50).fit(table)
    assert global_state() == before


@pytest.mark.parametrize("fit", ["fit", "partial_fit"])
@pytest.mark.parametrize("container", [np.array, np.asfortranarray, sparse.csr_array])
def test_training_keeps_no_reference_to_X(container, fit, table, small):
    X = container(table.copy())
    kept = [weakref.ref(array) for array in ([X, X.data] if sparse.issparse(X) else [X])]
    machine = getattr(small(early_stopping=True), fit)(X)
    machine.score(X)
    del X
    assert [reference() for reference in kept] == [None] * len(kept)
    assert machine.n_iter_ > 0


# ---------------------------------------------------------------------- independence of other rows and calls

WIDE = np.random.default_rng(2).integers(2, size=(40, 700)).astype(float)


@pytest.fixture(params=["few units", "many units", "two layers", "many columns"])
def trained(request, table, small):
    """Return a fitted machine and its table. The likelihood is exact with few units and estimated otherwise."""
    sizes = {"few units": 3, "many units": 20, "two layers": (17, 5), "many columns": 20}[request.param]
    table = WIDE if request.param == "many columns" else table
    return small(hidden_layer_sizes=sizes).fit(table), table


@pytest.mark.parametrize("method", ["score_samples", "transform"])
def test_result_depends_only_on_its_row(method, trained):
    machine, table = trained
    evaluate = getattr(machine, method)
    results = evaluate(table)
    order = np.random.default_rng(0).permutation(len(table))
    assert_array_equal(evaluate(table[order]), results[order])
    assert_array_equal(evaluate(table[5:18]), results[5:18])
    assert_array_equal(np.concatenate([evaluate(table[[row]]) for row in range(7)]), results[:7])
    assert_array_equal(evaluate(np.tile(table, (5, 1))), np.concatenate([results] * 5))
    assert_array_equal(evaluate(sparse.csr_array(table)), results)


def test_score_is_the_mean_of_score_samples(trained):
    machine, table = trained
    assert type(machine.score(table)) is float
    assert machine.score(table) == machine.score_samples(table).mean()


def test_samples_depend_on_the_seed(trained):
    machine, _ = trained
    first = machine.sample(50, random_state=1)
    assert_array_equal(first, machine.sample(50, random_state=1))
    assert_array_equal(first, machine.sample(50, random_state=np.random.RandomState(1)))
    assert not np.array_equal(first, machine.sample(50, random_state=2))
    assert not np.array_equal(machine.sample(50), machine.sample(50))
    generator = np.random.RandomState(1)
    assert not np.array_equal(machine.sample(50, random_state=generator), machine.sample(50, random_state=generator))
    assert len(np.unique(first, axis=0)) > 5


def test_samples_do_not_reuse_the_noise_of_training(table, small):
    machine = small(random_state=0).partial_fit(table)
    before = machine.sample(20, random_state=0)
    assert not np.array_equal(machine.partial_fit(table).sample(20, random_state=1), before)


@pytest.mark.parametrize("hidden_layer_sizes", [3, (17, 5)], ids=["enumerated", "sampled"])
@pytest.mark.parametrize("method", ["score_samples", "transform"])
def test_threads_do_not_share_buffers(method, hidden_layer_sizes, table, small):
    evaluate = getattr(small(hidden_layer_sizes=hidden_layer_sizes).fit(table), method)
    parts = [np.tile(table[start : start + 9], (20, 1)) for start in range(0, 31, 2)]
    serial = [evaluate(part) for part in parts]
    with ThreadPoolExecutor(4) as pool:
        for result, expected in zip(pool.map(evaluate, parts), serial, strict=True):
            assert_array_equal(result, expected)


# ---------------------------------------------------------------------- output and warnings


def test_verbose_prints_a_line_per_epoch(table, small, capsys):
    small(verbose=1, max_iter=3).fit(table)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    for epoch, line in enumerate(lines, start=1):
        number = r"-?\d+\.\d+"
        assert re.fullmatch(rf"\[HelmholtzMachine\] Iteration {epoch}, lower bound = {number}, time = {number}s", line)


def test_verbose_prints_the_validation_score(table, small, capsys):
    machine = small(verbose=1, max_iter=1, early_stopping=True).fit(table)
    assert f", validation score = {machine.validation_scores_[0]:.2f}, " in capsys.readouterr().out


def test_machine_prints_nothing_by_default(table, small, capsys):
    small().fit(table).partial_fit(table).score(table)
    assert capsys.readouterr() == ("", "")


def test_converged_fit_does_not_warn(table, small):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        machine = small(tol=1e9, n_iter_no_change=2, max_iter=10).fit(table)
    assert machine.converged_


@pytest.mark.parametrize("early_stopping", [False, True])
def test_fit_that_does_not_converge_warns_once_at_the_line_of_the_caller(early_stopping, table, small):
    with pytest.warns() as caught:
        machine = small(tol=0.0, n_iter_no_change=10, early_stopping=early_stopping).fit(table)
    assert [(warning.category, warning.filename) for warning in caught] == [(ConvergenceWarning, __file__)]
    assert not machine.converged_


# ---------------------------------------------------------------------- callbacks


@pytest.fixture
def callback():
    return pytest.importorskip("sklearn.callback", reason="scikit-learn has no callbacks before version 1.9")


class Recorder:
    """Record the calls, tables and machines that a callback gets. Stop training after `n_epochs` epochs."""

    def __init__(self, n_epochs=None):
        self.n_epochs = n_epochs
        self.machines, self.tables, self.calls = [], [], []

    def setup(self, estimator, context):
        self.calls.append("setup")

    def on_fit_task_begin(self, estimator, context):
        self.calls.append(f"begin {context.task_name}")

    def on_fit_task_end(self, estimator, context, *, X, fitted_estimator):
        self.calls.append(f"end {context.task_name}")
        if context.task_name == "epoch":
            self.machines.append(fitted_estimator)
            self.tables.append(X)
        return len(self.machines) == self.n_epochs

    def teardown(self, estimator, context):
        self.calls.append("teardown")


def test_callbacks_are_called_in_order(callback, table, small):
    recorder = Recorder()
    small(max_iter=2).set_callbacks(recorder).fit(table)
    epoch = ["begin epoch", "end epoch"]
    assert recorder.calls == ["setup", "begin fit", *epoch, *epoch, "end fit", "teardown"]
    assert_array_equal(recorder.tables[0], table)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_callbacks_get_the_fitted_machine_of_each_epoch(early_stopping, callback, table, small):
    recorder = Recorder()
    small(max_iter=3, early_stopping=early_stopping).set_callbacks(recorder).fit(table)
    assert len(recorder.machines) == 3
    for n_epochs, machine in enumerate(recorder.machines, start=1):
        assert_same(machine, small(max_iter=n_epochs, early_stopping=early_stopping).fit(table))
        assert np.isfinite(machine.score(table))
        assert machine.transform(table).shape == (len(table), 3)


@pytest.mark.parametrize("tol", [None, 0.0])
def test_callback_can_stop_training(tol, callback, table, small):
    machine = small(max_iter=50, tol=tol).set_callbacks(Recorder(2)).fit(table)
    assert_same(machine, small(max_iter=2).fit(table))


def test_callbacks_do_not_change_the_fit(callback, table, small):
    assert_same(small().set_callbacks(Recorder()).fit(table), small().fit(table))


def test_callbacks_are_torn_down_after_an_error(callback, table, small):
    recorder = Recorder()
    with pytest.raises(ValueError, match="diverged"):
        small(learning_rate_init=1e3, max_iter=50).set_callbacks(recorder).fit(table)
    assert recorder.calls[-1] == "teardown"


def test_progress_bar_is_shown(callback, table, small, capsys):
    pytest.importorskip("rich")
    machine = small().set_callbacks(callback.ProgressBar()).fit(table)
    assert re.search("HelmholtzMachine - fit.* 100%", capsys.readouterr().out)
    assert_same(machine, small().fit(table))


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_progress_bar_of_a_grid_search_is_shown(n_jobs, callback, binary, small, capsys):
    pytest.importorskip("rich")
    search = GridSearchCV(small(), {"n_particles": [2, 5]}, cv=2, n_jobs=n_jobs)
    search.set_callbacks(callback.ProgressBar(max_propagation_depth=None)).fit(binary)
    output = capsys.readouterr().out
    assert re.search("GridSearchCV - fit.* 100%", output)
    assert re.search("HelmholtzMachine - fit.* 100%", output)
    assert_same(
        search.best_estimator_, GridSearchCV(small(), {"n_particles": [2, 5]}, cv=2).fit(binary).best_estimator_
    )
