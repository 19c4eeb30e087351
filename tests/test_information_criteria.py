"""AIC and BIC: numbers of parameters counted by hand, and likelihoods in closed form."""

from itertools import product

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture

from skwakesleep import AmortisedWakeSleep, HelmholtzMachine
from skwakesleep._engine.arrays.random import Streams
from skwakesleep._engine.machine.fitted import FittedMachine
from skwakesleep._engine.training.optimizers import SGD
from skwakesleep._engine.training.state import TrainingState
from skwakesleep.models import FunctionModel, LatentFactors, Positive, Real
from tests.test_covariates import Ragged

RNG = np.random.default_rng(0)
BITS = (RNG.random((60, 4)) < [0.2, 0.5, 0.5, 0.8]).astype(float)
REAL = RNG.normal(size=(60, 3))
WORDS = np.column_stack([RNG.integers(3, size=60), RNG.integers(2, size=60), np.zeros(60)]).astype(float)


def fitted(X, hidden_layer_sizes=2, **parameters):
    settings = {"autoregressive": None, "max_iter": 2, "tol": None, "random_state": 0, **parameters}
    return HelmholtzMachine(hidden_layer_sizes, **settings).fit(X)


@pytest.mark.parametrize(
    ("X", "parameters", "expected"),
    [
        # Intercepts of the prior, weights, intercepts of the columns.
        (BITS, {}, 2 + 2 * 4 + 4),
        (BITS, {"hidden_layer_sizes": (5, 3)}, 3 + 3 * 5 + 5 + 5 * 4 + 4),
        # The recognition network has no parameter of the likelihood.
        (BITS, {"autoregressive": "recognition"}, 2 + 2 * 4 + 4),
        # Each pair of units has a weight.
        (BITS, {"autoregressive": ("prior", "visible")}, 2 + 1 + 2 * 4 + 6 + 4),
        (BITS, {"hidden_layer_sizes": (5, 3), "autoregressive": "hidden"}, 3 + 3 * 5 + 10 + 5 + 5 * 4 + 4),
        # Means and variances.
        (REAL, {"visible": "gaussian"}, 2 + 2 * 3 + 2 * 3),
        # Two free probabilities, one, and a constant; their logits follow each hidden unit, and one another.
        (WORDS, {"visible": "categorical"}, 2 + 2 * (2 + 1) + (2 + 1)),
        (WORDS, {"visible": "categorical", "autoregressive": "visible"}, 2 + 2 * (2 + 1) + 2 * 1 + (2 + 1)),
        # Ordered categories and few counts: the polynomials have as many terms as there are free probabilities.
        (WORDS, {"visible": "ordinal"}, 2 + 2 * (2 + 1) + (2 + 1)),
        # Bits and words in one table.
        (
            np.column_stack([BITS[:, :1], WORDS]),
            {"visible": ["bernoulli", *["categorical"] * 3], "autoregressive": "visible"},
            2 + 2 * (1 + 2 + 1) + (1 * 2 + 1 * 1 + 2 * 1) + (1 + 2 + 1),
        ),
    ],
    ids=lambda value: f"{value.shape[1]} columns" if isinstance(value, np.ndarray) else str(value),
)
def test_number_of_parameters(X, parameters, expected):
    assert fitted(X, **parameters).n_parameters_ == expected


def test_missing_values_add_parameters_to_the_recognition_network_only():
    holed = np.where(RNG.random(BITS.shape) < 0.2, np.nan, BITS)
    assert fitted(holed).n_parameters_ == fitted(BITS).n_parameters_


def test_shares_of_intervals_are_parameters():
    X = np.repeat(np.arange(4.0), 50)[:, np.newaxis]  # four values with an interval each, polynomials of degree 3
    assert fitted(X, visible="count").n_parameters_ == 2 + 2 * 3 + 3


@pytest.mark.parametrize("autoregressive", [None, "visible"])
def test_number_of_parameters_is_the_rank_of_the_jacobian(autoregressive):
    """Derivatives of the probabilities of all rows, with respect to all numbers of the generative network."""
    X = np.array(list(product([0.0, 1.0], [0.0, 1.0, 2.0], [0.0, 1.0, 2.0], [0.0, 1.0, 2.0])))
    kinds = ["bernoulli", "categorical", "ordinal", "categorical"]
    machine = fitted(np.tile(X, (2, 1)), 1, visible=kinds, autoregressive=autoregressive)
    size, networks = machine._fitted.parameters.size, machine._fitted.machine
    is_free = np.ones(size, bool)
    for views in networks.views(is_free).generative[1:]:
        if "triangle" in views:  # in the order of the kinds; only later columns depend on a column
            column = np.repeat([0, 1, 2, 3], [1, 3, 3, 2])
            views["triangle"][...] = column[:, np.newaxis] < column
    flat = is_free * np.random.default_rng(1).normal(size=size)

    def probabilities(changed):
        machine._fitted = FittedMachine(networks, TrainingState(changed, SGD(1.0), Streams(0)))
        return np.exp(machine.score_samples(X))

    steps = 1e-5 * np.eye(size)[is_free]
    derivatives = [(probabilities(flat + step) - probabilities(flat - step)) / 2e-5 for step in steps]
    values = np.linalg.svdvals(derivatives)
    assert machine.n_parameters_ == (values > 1e-7 * values[0]).sum()


@pytest.mark.parametrize("criterion", ["aic", "bic"])
def test_independent_columns_in_closed_form(criterion):
    machine = fitted(BITS, 1, alpha=0, max_iter=1)
    machine.generative_coefs_[0][...] = 0
    means = BITS.mean(axis=0)
    machine.generative_intercepts_[0][...] = np.log(means / (1 - means))
    log_likelihood = 60 * (means * np.log(means) + (1 - means) * np.log(1 - means)).sum()
    n_parameters = 1 + 4 + 4
    penalty = {"aic": 2, "bic": np.log(60)}[criterion] * n_parameters
    assert getattr(machine, criterion)(BITS) == pytest.approx(penalty - 2 * log_likelihood, rel=1e-5)


@pytest.mark.parametrize("criterion", ["aic", "bic"])
def test_criteria_have_the_scale_and_sign_of_those_of_scikit_learn(criterion):
    """A single normal in two dimensions: a factor and a mixture are the same model, with one more parameter."""
    X = RNG.normal(size=(500, 2)) @ [[1.0, 0.7], [0.0, 0.5]]
    ours = AmortisedWakeSleep(LatentFactors(2, 1), n_sleep=200, max_iter=100, random_state=0).fit(X)
    theirs = GaussianMixture().fit(X)
    assert ours.n_parameters_ == theirs._n_parameters() + 1 == 6
    more = {"aic": 2.0, "bic": np.log(500)}[criterion]
    assert getattr(ours, criterion)(X) == pytest.approx(getattr(theirs, criterion)(X) + more, abs=5)


def test_fixed_values_are_no_parameters():
    def sample(params, n, rng):
        z = rng.standard_normal((n, 1))
        return z, params.mean + z + params.noise * rng.standard_normal((n, 1))

    def log_joint(params, z, x):
        return -0.5 * (z**2 + ((x - params.mean - z) / params.noise) ** 2)[:, 0] - np.log(params.noise)

    model = FunctionModel(sample, log_joint, n_features=1, parameters={"mean": Real(), "noise": Positive()})
    settings = {"n_sleep": 50, "max_iter": 2}
    X = RNG.normal(size=(50, 1))
    assert AmortisedWakeSleep(model, **settings).fit(X).n_parameters_ == 2
    assert AmortisedWakeSleep(model, fixed={"noise": 1.0}, **settings).fit(X).n_parameters_ == 1


def test_no_criterion_without_a_likelihood_and_no_number_before_the_fit():
    assert not hasattr(AmortisedWakeSleep(Ragged()), "bic")
    assert not hasattr(HelmholtzMachine(), "n_parameters_")
    assert not hasattr(AmortisedWakeSleep(), "n_parameters_")
