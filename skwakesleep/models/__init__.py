"""Generative models for `AmortisedWakeSleep`, and the methods that a model of your own needs."""

from skwakesleep._deprecation import deprecated_names, moved
from skwakesleep.models._belief_network import SigmoidBeliefNetwork
from skwakesleep.models._checks import ModelError
from skwakesleep.models._decoder import NeuralDecoder
from skwakesleep.models._function_model import FunctionModel
from skwakesleep.models._latent_factors import LatentFactors
from skwakesleep.models._protocol import ExponentialFamily, GenerativeModel, LocalFactors
from skwakesleep.models._removed_protocols import METHODS as _REMOVED
from skwakesleep.models._removed_protocols import deprecated_protocol
from skwakesleep.models._thorough_check import check_generative_model

__all__ = [
    "ExponentialFamily",
    "FunctionModel",
    "GenerativeModel",
    "LatentFactors",
    "LocalFactors",
    "ModelError",
    "NeuralDecoder",
    "SigmoidBeliefNetwork",
    "check_generative_model",
]

__getattr__ = deprecated_names(
    __name__,
    {
        **{name: moved(name, "skwakesleep.simulators") for name in ("BlowflyDynamics", "HodgkinHuxley", "Pinwheel")},
        **{name: deprecated_protocol(name) for name in _REMOVED},
    },
)
