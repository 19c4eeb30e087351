"""Every model of networks and simulators keeps the promises that users' models are held to."""

import numpy as np
import pytest

from skwakesleep import AmortisedWakeSleep
from skwakesleep.models import (
    BlowflyDynamics,
    HodgkinHuxley,
    NeuralDecoder,
    Pinwheel,
    SigmoidBeliefNetwork,
    check_generative_model,
)

MODELS = {
    "decoder": NeuralDecoder(6, n_latents=3, n_hidden=4),
    "belief network": SigmoidBeliefNetwork(5, (3, 2)),
    "pinwheel": Pinwheel(n_categories=3, n_hidden=4, n_nodes=31),
    "blowfly": BlowflyDynamics(12, delay=2),
    "neuron": HodgkinHuxley(),
}
every_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())


def data(model):
    rng = np.random.default_rng(0)
    binary = isinstance(model, NeuralDecoder | SigmoidBeliefNetwork)
    X = rng.random((30, model.n_features))
    return (X < 0.4).astype(float) if binary else 0.1 + X


@every_model
def test_promises_are_kept(model, monkeypatch):
    monkeypatch.setattr("skwakesleep.models._hodgkin_huxley.TIME_STEP", 1.0)  # coarse, and a twentieth of the time
    rng = np.random.default_rng(1)
    check_generative_model(model, model.initial_params(data(model), rng), rng)


@every_model
def test_it_can_be_fitted(model):
    X = data(model)[:3]
    fitted = AmortisedWakeSleep(model, n_sleep=200, max_iter=2, feature_map=None, random_state=0).fit(X)
    assert fitted.params_.keys() == model.unpack(fitted.theta_).keys()
    assert np.isfinite(fitted.theta_).all()
    assert np.isfinite(fitted.transform(X)).all()
    assert fitted.sample(4, random_state=0).shape == (4, model.n_features)
    assert hasattr(fitted, "score") == hasattr(model, "log_likelihood")
