"""NeuralDecoder and SigmoidBeliefNetwork: sums over all states, and comparison with HelmholtzMachine."""

import numpy as np
import pytest
from scipy.special import expit, logsumexp

from skwakesleep import HelmholtzMachine
from skwakesleep.datasets import make_bars
from skwakesleep.models import NeuralDecoder, SigmoidBeliefNetwork
from tests import oracle

MODELS = {
    "decoder": NeuralDecoder(6, n_latents=3, n_hidden=4),
    "one layer": SigmoidBeliefNetwork(5, 3),
    "three layers": SigmoidBeliefNetwork(5, (3, 2, 2)),
}
every_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def data(model, rng, n=12):
    return (rng.random((n, model.n_features)) < 0.3).astype(float)


def parameters(model, rng):
    return model.initial_params(data(model, rng), rng) + 0.5 * rng.normal(size=model.n_params)


@every_model
def test_likelihoods_of_all_states_sum_to_one(model, rng):
    all_states = oracle.binary_states(model.n_features)
    assert logsumexp(model.log_likelihood(parameters(model, rng), all_states)) == pytest.approx(0, abs=1e-12)


@every_model
def test_initial_parameters_match_the_column_means(model, rng):
    X = data(model, rng, 200)
    _, x = model.sample(model.initial_params(X, rng), 20_000, rng)
    np.testing.assert_allclose(x.mean(axis=0), X.mean(axis=0), atol=0.2)


@pytest.mark.parametrize("model", [NeuralDecoder(4, n_latents=15), SigmoidBeliefNetwork(4, (10, 5))])
def test_no_likelihood_with_many_latents(model):
    assert not hasattr(model, "log_likelihood")
    assert not hasattr(model, "grad_log_likelihood")
    with pytest.raises(AttributeError, match="has no log_likelihood: its latents are too many"):
        model.log_likelihood  # noqa: B018


def test_log_joint_of_decoder_equals_the_explicit_formula(rng):
    """The formula is written out for one row."""
    model = MODELS["decoder"]
    theta = parameters(model, rng)
    p = model.unpack(theta)
    z, x = np.array([[1.0, 0.0, 1.0]]), np.array([[1.0, 1.0, 0.0, 0.0, 1.0, 0.0]])
    logits = np.tanh((p["weights_0"][0] + p["weights_0"][2]) + p["intercept_0"]) @ p["weights_1"] + p["intercept_1"]
    on, prior = expit(logits), expit(p["prior"])
    probability = prior[0] * (1 - prior[1]) * prior[2] * on[0] * on[1] * (1 - on[2]) * (1 - on[3]) * on[4] * (1 - on[5])
    assert model.log_joint(theta, z, x) == pytest.approx(np.log(probability))


@pytest.mark.parametrize("sizes", [4, (4, 3)])
def test_belief_network_equals_the_generative_network_of_helmholtz_machine(sizes):
    X, _ = make_bars(60, side=3, random_state=0)
    machine = HelmholtzMachine(sizes, autoregressive=None, max_iter=3, tol=None, random_state=0).fit(X)
    model = SigmoidBeliefNetwork(X.shape[1], sizes)
    layers = range(len(machine.generative_coefs_))
    theta = model.pack(
        prior=machine.prior_intercept_,
        **{f"coefs_{layer}": machine.generative_coefs_[layer] for layer in layers},
        **{f"intercept_{layer}": machine.generative_intercepts_[layer] for layer in layers},
    )
    np.testing.assert_allclose(model.log_likelihood(theta, X), machine.score_samples(X), rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NeuralDecoder(0), r"n_features of NeuralDecoder must be an int, at least 1. Got 0 instead."),
        (
            lambda: NeuralDecoder(4, n_latents=2.0),
            r"n_latents of NeuralDecoder must be an int, at least 1. Got 2.0 instead.",
        ),
        (
            lambda: NeuralDecoder(4, n_hidden=True),
            r"n_hidden of NeuralDecoder must be an int, at least 1. Got True instead.",
        ),
        (lambda: SigmoidBeliefNetwork(4, ()), r"hidden_layer_sizes must be an int or a sequence of int. Got \(\)."),
        (lambda: SigmoidBeliefNetwork(4, "8"), r"hidden_layer_sizes must be an int or a sequence of int. Got '8'."),
        (
            lambda: SigmoidBeliefNetwork(4, (3, 0)),
            r"hidden_layer_sizes of SigmoidBeliefNetwork must be an int, at least 1. Got 0 instead.",
        ),
    ],
)
def test_invalid_sizes_raise(make, message):
    with pytest.raises(ValueError, match=message):
        make()
