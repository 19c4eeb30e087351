"""Tests of all models in the package: gradients, densities, scores, parameters and copies.

Densities are compared with independent code in the test files of the models.
"""

import pickle
from copy import deepcopy
from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from skwakesleep import AmortisedWakeSleep
from skwakesleep.models import (
    ExponentialFamily,
    FunctionModel,
    GenerativeModel,
    LatentFactors,
    NeuralDecoder,
    SigmoidBeliefNetwork,
    check_generative_model,
)
from skwakesleep.simulators import BlowflyDynamics, HodgkinHuxley, Pinwheel
from tests.models import difference

pytestmark = pytest.mark.statistical

LATENTS = {"normal": 2, "angle": 1, "bernoulli": 3, "categorical": 3, "laplace": 2, "uniform": 2}
OBSERVATIONS = {
    "spherical": {"noise": "spherical"},
    "diagonal": {"noise": "diagonal"},
    "full": {"noise": "full"},
    "bernoulli": {"observations": "bernoulli"},
}
FACTORS = {
    f"{latents}-{columns}": LatentFactors(4, LATENTS[latents], latents=latents, **OBSERVATIONS[columns])
    for latents, columns in product(LATENTS, OBSERVATIONS)
}
NETWORKS = {
    "decoder": NeuralDecoder(6, n_latents=3, n_hidden=4),
    "one layer": SigmoidBeliefNetwork(5, 3),
    "three layers": SigmoidBeliefNetwork(5, (3, 2, 2)),
}
SIMULATORS = {
    "pinwheel": Pinwheel(3, n_categories=3, n_hidden=4, n_nodes=41),
    "blowfly": BlowflyDynamics(12, delay=2),
    "neuron": HodgkinHuxley(),
}
MODELS = FACTORS | NETWORKS | SIMULATORS
EXPONENTIAL = FACTORS | NETWORKS | {"pinwheel": SIMULATORS["pinwheel"]}
every_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
every_exponential_model = pytest.mark.parametrize("model", EXPONENTIAL.values(), ids=EXPONENTIAL)
# One model of each kind, for slow tests.
REPRESENTATIVE = NETWORKS | {name: FACTORS[name] for name in FACTORS if name.endswith("-diagonal")} | SIMULATORS
some_models = pytest.mark.parametrize("model", REPRESENTATIVE.values(), ids=REPRESENTATIVE)


@pytest.fixture
def rng():
    return np.random.default_rng(3)


@pytest.fixture(autouse=True)
def _coarse_neuron(monkeypatch):
    """Use a coarse time step, which makes the simulation 20 times faster."""
    monkeypatch.setattr("skwakesleep.simulators._hodgkin_huxley.TIME_STEP", 1.0)


def data(model, rng, n=30):
    binary = getattr(model, "observation_range", (0, np.inf)) == (0.0, 1.0)
    return (
        (rng.random((n, model.n_features)) < 0.3).astype(float) if binary else 0.1 + rng.random((n, model.n_features))
    )


def parameters(model, rng):
    """Return perturbed initial parameters, which are not symmetric."""
    theta = model.initial_params(data(model, rng), rng) + 0.3 * rng.normal(size=model.n_params)
    return model.project(theta) if hasattr(model, "project") else theta


# ---------------------------------------------------------------------- gradients and densities


@every_model
def test_weighted_gradient_equals_central_differences(model, rng):
    assert difference.gradient_error(model, parameters(model, rng), rng) < 1e-6


@every_exponential_model
def test_vector_jacobian_product_equals_central_differences(model, rng):
    assert isinstance(model, ExponentialFamily)
    assert difference.vjp_error(model, parameters(model, rng), rng) < 1e-6


@every_exponential_model
def test_exact_gradient_equals_central_differences(model, rng):
    theta = parameters(model, rng)
    assert difference.likelihood_gradient_error(model, theta, model.sample(theta, 5, rng)[1]) < 1e-6


@every_exponential_model
def test_exponential_family_form_equals_the_cross_form(model, rng):
    assert difference.cross_form_error(model, parameters(model, rng), rng) < 1e-10


@every_exponential_model
def test_log_prob_x_given_z_equals_log_joint_minus_log_prior(model, rng):
    assert_allclose(*difference.log_prob_both_ways(model, parameters(model, rng), rng), rtol=1e-9)


@some_models
def test_mean_score_is_zero(model, rng):
    n_draws = 4000 if isinstance(model, HodgkinHuxley) else difference.N_DRAWS
    theta = parameters(model, rng)
    assert np.abs(difference.score_in_standard_errors(model, theta, rng, n_draws)).max() < 5


@some_models
def test_mean_score_is_not_zero_with_perturbed_parameters(model, rng):
    """Negative control: each parameter is perturbed when sampling."""
    theta = parameters(model, rng)

    class Perturbed(difference.Wrapped):
        def sample(self, theta, n, rng):
            return self.model.sample(theta + 0.1, n, rng)

    assert np.abs(difference.score_in_standard_errors(Perturbed(model), theta, rng)).max() > 5


@pytest.mark.parametrize("model", NETWORKS.values(), ids=NETWORKS)
def test_likelihood_agrees_with_importance_sampling(model, rng):
    theta, X = parameters(model, rng), data(model, rng, 4)
    z, _ = model.sample(theta, 100_000, rng)
    ratio = np.exp(model.log_prob_x_given_z(theta, z, X) - model.log_likelihood(theta, X))
    assert (np.abs(ratio.mean(axis=0) - 1) < 5 * ratio.std(axis=0) / np.sqrt(len(ratio))).all()


@every_exponential_model
def test_likelihood_does_not_depend_on_block_size(model, rng, monkeypatch):
    theta, X = parameters(model, rng), data(model, rng)
    expected = model.log_likelihood(theta, X), model.grad_log_likelihood(theta, X)
    monkeypatch.setattr("skwakesleep.models._densities.BLOCK_ELEMENTS", 1)
    assert_allclose(model.log_likelihood(theta, X), expected[0], rtol=1e-11)
    assert_allclose(model.grad_log_likelihood(theta, X), expected[1], rtol=1e-9, atol=1e-12)


# ---------------------------------------------------------------------- interface


@some_models
def test_check_generative_model_passes(model, rng):
    assert isinstance(model, GenerativeModel)
    check_generative_model(model, parameters(model, rng), rng, n_draws=10_000)


@pytest.mark.filterwarnings("ignore:The regression predicts no better")  # few dreams
@some_models
def test_model_can_be_fitted(model, rng):
    X = data(model, rng)[:3]
    fitted = AmortisedWakeSleep(model, n_sleep=200, max_iter=2, feature_map=None, random_state=0).fit(X)
    assert fitted.params_.keys() == model.unpack(fitted.theta_).keys()
    assert np.isfinite(fitted.theta_).all()
    assert np.isfinite(fitted.transform(X)).all()
    assert fitted.sample(4, random_state=0).shape == (4, model.n_features)
    assert hasattr(fitted, "score") == hasattr(model, "log_likelihood")


NAMED = NETWORKS | SIMULATORS


@pytest.mark.parametrize("model", NAMED.values(), ids=NAMED)
def test_pack_and_unpack_parameters(model, rng):
    theta = parameters(model, rng)
    views = model.unpack(theta)
    assert_array_equal(model.pack(**views), theta)
    assert all(np.shares_memory(view, theta) for view in views.values())
    with pytest.raises(TypeError, match=r"expected the parameters \['"):
        model.pack(weights=0)


# ---------------------------------------------------------------------- constructor parameters


def coin(theta, n, rng):
    return rng.integers(2, size=n), rng.normal(size=(n, 1))


def coin_log_joint(theta, z, x):
    return -0.5 * (x[:, 0] - theta * z) ** 2


COIN = FunctionModel(coin, coin_log_joint, n_params=1, n_features=1, project=np.tanh, initial_params=np.ones(1))
# Model, changes of its parameters, and the resulting n_params.
CHANGES = {
    "factors": (
        FACTORS["normal-full"],
        {"n_components": 1, "noise_floor": 0.9, "latents": "angle", "n_features": 7},
        49,
    ),
    "decoder": (NETWORKS["decoder"], {"n_features": 4, "n_latents": 2, "n_hidden": 3}, 27),
    "network": (NETWORKS["three layers"], {"hidden_layer_sizes": [2, 2], "n_features": 9}, 35),
    "pinwheel": (SIMULATORS["pinwheel"], {"n_features": 2, "n_nodes": 11, "min_noise_scale": 0.5}, 39),
    "blowfly": (SIMULATORS["blowfly"], {"n_features": 30, "history": np.array([1.0, 2.0, 3.0])}, 5),
    "neuron": (SIMULATORS["neuron"], {"current": 3.0, "noise": 0.0}, 6),
    "functions": (COIN, {"project": None, "n_params": 2, "grad_log_joint": coin_log_joint}, 2),
}
each_kind = pytest.mark.parametrize(("model", "changes", "n_params"), CHANGES.values(), ids=CHANGES)


@each_kind
def test_clones_and_copies_are_equal_to_the_model(model, changes, n_params):
    for other in clone(model), deepcopy(model), pickle.loads(pickle.dumps(model)):
        assert other is not model
        assert other == model
        assert hash(other) == hash(model)
        assert repr(other) == repr(model)
    assert model != other.n_features
    assert len({model, other}) == 1


@each_kind
def test_set_params_equals_construction(model, changes, n_params):
    """Derived attributes are updated, and the cloned model does not change."""
    original = clone(model)
    constructed = type(model)(**(model.get_params() | changes))
    other = clone(model)
    assert other.set_params(**changes) is other
    assert other == constructed
    assert other.n_params == constructed.n_params == n_params
    assert vars(other).keys() == vars(constructed).keys()
    for name, value in changes.items():
        assert clone(model).set_params(**{name: value}) != model
    assert model == original


@each_kind
def test_set_params_and_construction_give_equal_results(model, changes, n_params):
    other, constructed = clone(model).set_params(**changes), type(model)(**(model.get_params() | changes))
    theta = np.random.default_rng(0).normal(size=other.n_params)
    first, second = (each.sample(theta, 3, np.random.default_rng(1))[1] for each in (other, constructed))
    assert_array_equal(first, second)
    for name in "log_likelihood", "column_units", "project":
        assert hasattr(other, name) == hasattr(constructed, name)


def test_array_parameters_are_compared_by_value():
    histories = [np.ones(3), np.ones(3), [1.0, 1.0, 1.0], None, np.array([1.0, 1.0, 2.0])]
    model, *others = (BlowflyDynamics(12, 2, history) for history in histories)
    assert [model == other for other in others] == [True, True, False, False]


def test_models_of_different_classes_are_not_equal():
    class Factors(LatentFactors):
        pass

    assert Factors(3) != LatentFactors(3)


@pytest.mark.parametrize(
    ("model", "params", "message"),
    [
        (LatentFactors(3), {"n_components": 0}, "n_components of LatentFactors must be an int"),
        (LatentFactors(3), {"n_components": 1, "noise": "tied"}, "noise of LatentFactors must be one of"),
        (LatentFactors(3), {"n_units": 1}, "LatentFactors has no parameter 'n_units'"),
        (BlowflyDynamics(12, 2), {"delay": 11}, "n_features must be more than delay"),
        (COIN, {"project": 3}, "project of FunctionModel must be callable"),
        (COIN, {"sample": None}, "sample of FunctionModel must be callable. Got None"),
    ],
)
def test_invalid_parameter_raises_and_changes_nothing(model, params, message):
    other = clone(model)
    with pytest.raises((TypeError, ValueError), match=message):
        other.set_params(**params)
    assert other == model


def test_grid_search_over_parameters_of_a_model():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 1)) * [3.0, -2.0, 1.0, 2.0] + 0.3 * rng.normal(size=(300, 4))
    model = LatentFactors(4)
    estimator = AmortisedWakeSleep(model, n_sleep=200, max_iter=60, random_state=0)
    search = GridSearchCV(estimator, {"model__latents": ["categorical", "normal"], "model__n_components": [1, 2]}, cv=2)
    search.fit(X)
    assert search.best_params_["model__latents"] == "normal"
    assert search.best_estimator_.model_.n_components == search.best_params_["model__n_components"]
    assert np.ptp(search.cv_results_["mean_test_score"]) > 0.5
    assert model == LatentFactors(4)


def test_unknown_function_raises():
    with pytest.raises(
        TypeError, match=r"FunctionModel has no method 'latent_funtion'\. The methods are .*latent_function"
    ):
        FunctionModel(coin, coin_log_joint, n_params=1, n_features=1, latent_funtion=len)
