"""Results of training, on data whose distribution is known or whose likelihood can be bounded.

Each fit sets all parameters that affect its result. Each claim about a trained machine is false, by the same function,
for an untrained or a simpler one.
"""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.stats import bernoulli, norm
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skwakesleep import HelmholtzMachine
from skwakesleep._engine.training.state import MIN_EPOCHS, MIN_STEPS
from skwakesleep.datasets import make_bars
from tests import oracle

pytestmark = pytest.mark.statistical


def build(hidden_layer_sizes, **options):
    settings = {
        "visible": "auto",
        "autoregressive": "prior",
        "n_particles": 5,
        "recognition_update": "wake",
        "alpha": 0.0,
        "learning_rate_init": 0.2,
        "solver": "adam",
        "batch_size": 50,
        "max_iter": 30,
        "shuffle": True,
        "tol": None,
        "n_score_particles": 200,
        "random_state": 0,
    }
    return HelmholtzMachine(hidden_layer_sizes, **(settings | options))


def best_of(n_starts, X, *args, **options):
    """Return the fit with the highest lower bound of several, since training finds a local optimum."""
    fits = [build(*args, random_state=seed, **options).fit(X) for seed in range(n_starts)]
    return max(fits, key=lambda machine: machine.lower_bound_)


# ---------------------------------------------------------------------- bars

SIDE = 4
HORIZONTAL = np.repeat(np.eye(SIDE), SIDE, axis=1)
BARS = np.concatenate([HORIZONTAL, np.tile(np.eye(SIDE), SIDE)])


def bar_images(n_images):
    """Return images of horizontal and vertical bars, each present with probability 1/5 (after Hinton et al. 1995)."""
    present = np.random.default_rng(0).random((n_images, 2 * SIDE)) < 0.2
    return (present @ BARS > 0).astype(float)


def bars_found(machine):
    """Return the number of bars with a hidden unit of their own, whose weights have a correlation above 0.8 with it."""
    correlations = np.abs(np.corrcoef(machine.components_, BARS)[: -2 * SIDE, -2 * SIDE :])
    units, bars = linear_sum_assignment(-correlations)
    return int((correlations[units, bars] > 0.8).sum())


BARS_RULES = {
    "classic": (
        1,
        {"n_particles": 1, "recognition_update": "sleep", "alpha": 1.0}
        | {"learning_rate_init": 0.5, "batch_size": 10, "max_iter": 40},
    ),
    "reweighted": (
        3,
        {"n_particles": 5, "recognition_update": "wake", "alpha": 0.3}
        | {"learning_rate_init": 0.3, "batch_size": 25, "max_iter": 20},
    ),
}


@pytest.mark.parametrize("rule", BARS_RULES)
def test_bars_are_recovered(rule):
    """The reweighted rule needs fewer epochs, but more often merges bars."""
    n_starts, options = BARS_RULES[rule]
    X = bar_images(1000)
    assert bars_found(best_of(n_starts, X, 12, **options)) == 2 * SIDE
    untrained = build(12, **(options | {"learning_rate_init": 1e-9, "max_iter": 1})).fit(X)
    assert bars_found(untrained) <= 1


# ---------------------------------------------------------------------- a known machine

KNOWN = {
    "one layer": ((8, 3), False),
    "two layers": ((8, 4, 2), False),
    "gaussian": ((4, 2), True),
}


def known_machine(sizes, gaussian):
    """Return a machine whose layers depend strongly on each other: its units are active about half of the time."""
    model = oracle.random_model(list(sizes), seed=1, scale=2.0, gaussian=gaussian)
    centered = [-coefs.sum(axis=0) / 2 for coefs in model.generative_coefs]
    return model._replace(prior_intercept=model.prior_intercept / 2, generative_intercepts=centered)


@pytest.mark.parametrize("name", KNOWN)
def test_a_refit_reaches_the_true_likelihood(name):
    """Within two standard errors of the paired difference on other rows.

    By Wilks' theorem, the likelihood of 20 to 50 parameters fitted to four thousand rows falls short by about 0.005
    nats, which is a fraction of the standard error.
    """
    sizes, gaussian = KNOWN[name]
    truth = known_machine(sizes, gaussian)
    rng = np.random.default_rng(2)
    (_, X), (_, fresh) = oracle.sample(truth, 4000, rng), oracle.sample(truth, 500, rng)
    true_likelihood = oracle.log_likelihood(truth, fresh)

    def shortfall(likelihood):
        """Return the mean difference in standard errors."""
        difference = true_likelihood - likelihood
        return difference.mean() / (difference.std(ddof=1) / np.sqrt(len(fresh)))

    options = {"batch_size": 50, "learning_rate_init": 0.05}
    machine = best_of(3, X, sizes[1:], max_iter=15, **options)
    assert shortfall(machine.score_samples(fresh)) < 2
    # Negative controls: one epoch of training, and independent columns.
    assert shortfall(build(sizes[1:], max_iter=1, **options).fit(X).score_samples(fresh)) > 4
    assert shortfall(independent(X, fresh, gaussian)) > 4


def independent(X, fresh, gaussian):
    """Return the log-likelihood of each fresh row under independent columns fitted to `X`."""
    if gaussian:
        return norm(X.mean(axis=0), X.std(axis=0)).logpdf(fresh).sum(axis=1)
    means = (X.sum(axis=0) + 0.5) / (len(X) + 1)  # no value is impossible
    return bernoulli(means).logpmf(fresh).sum(axis=1)


def flipped_copies(n_rows, rng):
    """Return eight fair coins and copies of them with 5% of errors, a distribution of known entropy."""
    coins = rng.random((n_rows, 8)) < 0.5
    return np.concatenate([coins, coins ^ (rng.random((n_rows, 8)) < 0.05)], axis=1).astype(float)


def test_the_prior_keeps_large_weights_and_removes_noise():
    """Of 120 pairs of columns, eight depend on each other. Noise in the other weights more than doubles the error."""
    rng = np.random.default_rng(0)
    X, fresh = flipped_copies(200, rng), flipped_copies(2000, rng)
    truth = -8 * (np.log(2) + bernoulli(0.05).entropy())
    options = {"autoregressive": "visible", "learning_rate_init": 0.3, "max_iter": 100}

    def shortfall(alpha):
        return truth - build(1, alpha=alpha, **options).fit(X).score(fresh)

    free, prior = shortfall(0), shortfall(1)
    assert prior < 0.15
    assert free > 2 * prior
    # Negative control: with a prior that is too strong, columns are independent.
    assert shortfall(1000) == pytest.approx(8 * np.log(2) - 8 * bernoulli(0.05).entropy(), abs=0.1)


@pytest.mark.parametrize("gaussian", [False, True])
def test_scores_equal_the_oracle_at_the_fitted_attributes(gaussian):
    _, X = oracle.sample(oracle.random_model([4, 2], seed=3, gaussian=gaussian), 200, np.random.default_rng(4))
    machine = build((3, 2), max_iter=2, autoregressive=None).fit(X)
    fitted = oracle.Model(
        machine.prior_intercept_,
        machine.generative_coefs_,
        machine.generative_intercepts_,
        machine.recognition_coefs_,
        machine.recognition_intercepts_,
    )
    if gaussian:  # the attributes refer to standardized columns, and the variance is not among them
        views = machine._fitted.machine.views(machine._fitted.parameters).generative[-1]
        variance = machine._fitted.machine.columns.runs[0].family.variance(views)
        standardized = (X - X.mean(axis=0)) / X.std(axis=0)
        expected = oracle.log_likelihood(fitted._replace(log_variance=np.log(variance)), standardized)
        expected -= np.log(X.std(axis=0)).sum()
    else:
        expected = oracle.log_likelihood(fitted, X)
    np.testing.assert_allclose(machine.score_samples(X), expected, rtol=1e-6)  # attributes are in single precision


# ---------------------------------------------------------------------- real and realistic data


def digits():
    X = (load_digits().data > 7).astype(float)
    return train_test_split(X, test_size=500, random_state=0)


@pytest.mark.parametrize("rule", ["wake", "sleep", "both"])
def test_digits_are_better_explained_than_by_independent_pixels(rule):
    X, fresh = digits()
    baseline = independent(X, fresh, gaussian=False).mean()
    machine = build(20, recognition_update=rule, max_iter=10).fit(X)
    assert machine.score(fresh) > baseline + 5
    assert machine.score(1 - fresh) < baseline  # negative control: images that are no digits


def correlated_columns(n_rows, seed):
    """Return eight real columns of different scales that depend on two binary causes."""
    causes = np.random.default_rng(5).normal(scale=2, size=(2, 8))
    rng = np.random.default_rng(seed)
    X = (rng.random((n_rows, 2)) < 0.5) @ causes + rng.normal(size=(n_rows, 8))
    return 10 + X * np.logspace(-2, 2, 8)


def test_real_columns_are_better_explained_than_by_independent_gaussians():
    X, fresh = correlated_columns(1000, seed=6), correlated_columns(500, seed=7)
    machine = build(4).fit(X)
    assert set(machine.visible_) == {"gaussian"}
    advantage = machine.score_samples(fresh) - independent(X, fresh, gaussian=True)
    assert advantage.mean() > 2
    # Negative control: independent columns.
    shuffled = np.random.default_rng(8).permuted(fresh, axis=0)
    assert (machine.score_samples(shuffled) - independent(X, shuffled, gaussian=True)).mean() < 0


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("unit", [1e-30, 1e-6, 1e6, 1e30])
def test_the_unit_of_measurement_does_not_matter(unit, dtype):
    """A change of unit only adds a constant to the log-density."""
    X = correlated_columns(300, seed=9).astype(dtype) - dtype(10)
    reference, machine = (build(2, max_iter=5).fit(X * dtype(scale)) for scale in (1, unit))
    shift = X.shape[1] * np.log(unit)
    assert machine.lower_bound_ + shift == pytest.approx(reference.lower_bound_, abs=0.1)
    assert machine.score(X * dtype(unit)) + shift == pytest.approx(reference.score(X), abs=0.1)


def test_values_whose_squares_overflow():
    X = correlated_columns(300, seed=9)
    machine = build(2, max_iter=2).fit(X * 1e200)
    assert np.isfinite(machine.score(X * 1e200))
    assert np.isfinite(machine.sample(3, random_state=0)).all()


def test_early_stopping_keeps_the_best_epoch():
    """The parameters equal, bit for bit, those of a fit that ended with the best epoch."""
    rng = np.random.default_rng(10)
    X = (rng.random((60, 12)) < rng.random((60, 1))).astype(float)  # little structure, so that it overfits soon
    options = {"early_stopping": True, "validation_fraction": 0.3, "batch_size": 10}
    longest = build(8, max_iter=30, **options).fit(X)
    best = int(np.argmax(longest.validation_scores_))
    assert 0 < best < 29
    shorter, shortest = (build(8, max_iter=n_epochs, **options).fit(X) for n_epochs in (best + 1, best))
    np.testing.assert_array_equal(longest.components_, shorter.components_)
    np.testing.assert_array_equal(longest.prior_intercept_, shorter.prior_intercept_)
    assert (longest.components_ != shortest.components_).any()


@pytest.mark.parametrize("early_stopping", [False, True])
def test_training_of_a_small_table_goes_on_for_a_number_of_steps(early_stopping):
    """Ten epochs of 60 rows are only 10 steps. A number of epochs that the user sets is used as it is."""
    X = (np.random.default_rng(11).random((60, 12)) < 0.5).astype(float)
    options = {"early_stopping": early_stopping, "tol": 1e9, "max_iter": 2000, "batch_size": 54}
    n_steps = 1 if early_stopping else 2  # in an epoch, with a tenth of the rows held out
    assert build(8, **options).fit(X).n_iter_ == MIN_STEPS / n_steps
    assert build(8, n_iter_no_change=10, **options).fit(X).n_iter_ == 11
    many = np.tile(X, (100, 1))
    assert build(8, **options).fit(many).n_iter_ == MIN_EPOCHS


def test_early_stopping_stops():
    X = (np.random.default_rng(11).random((60, 12)) < 0.5).astype(float)
    machine = build(8, max_iter=200, tol=1e-3, n_iter_no_change=3, early_stopping=True, batch_size=10).fit(X)
    assert machine.converged_
    assert len(machine.validation_scores_) == machine.n_iter_ < 200


def cost_of_other_values(n_rows, **options):
    """Return the mean nats that a column of zeros and one of ones cost if their value is another than in training."""
    X, _ = make_bars(n_rows, random_state=0)
    X = np.column_stack([X, np.zeros(n_rows), np.ones(n_rows)])
    machine = HelmholtzMachine(8, random_state=0, **options).fit(X)
    costs = []
    for column in (-2, -1):
        other = X.copy()
        other[:, column] = 1 - other[:, column]
        costs.append(machine.score(X) - machine.score(other))
    return costs


LONG = {"learning_rate_init": 1.0, "max_iter": 60, "tol": None}


@pytest.mark.parametrize("options", [{}, LONG], ids=["default", "long"])
@pytest.mark.parametrize("n_rows", [100, 400])
def test_values_that_did_not_occur_stay_possible(n_rows, options):
    """With a row of the value 0.5, their probability is ``1 / (2 * n_rows + 2)``, however long the training."""
    np.testing.assert_allclose(cost_of_other_values(n_rows, **options), np.log(2 * n_rows + 2), atol=0.1)


@pytest.mark.parametrize("options", [{}, LONG], ids=["default", "long"])
def test_without_a_prior_values_that_did_not_occur_stay_possible(options, monkeypatch):
    """The steps of Adam shorten where gradients are smaller than one row can make them."""
    assert max(cost_of_other_values(400, alpha=0.0, **options)) < 13
    # Negative control: steps that do not shorten.
    monkeypatch.setattr("skwakesleep._engine.training.optimizers.PRIOR_INFORMATION", 1e-14)
    assert min(cost_of_other_values(400, alpha=0.0, **options)) > 15
    # The prior alone is enough.
    np.testing.assert_allclose(cost_of_other_values(400, **options), np.log(802), atol=0.1)


def test_a_stronger_prior_makes_more_of_values_that_did_not_occur():
    """`alpha` is the number of rows of the value 0.5."""
    for alpha in (0.2, 5.0):
        expected = np.log((400 + alpha / 2) / (alpha / 2))
        np.testing.assert_allclose(cost_of_other_values(400, alpha=alpha), expected, atol=0.1)
