"""Generative models for `AmortisedWakeSleep`, and the methods that a model of your own needs."""

from skwakesleep._deprecation import deprecated_names, moved
from skwakesleep.models._binary_networks import NeuralDecoder, SigmoidBeliefNetwork
from skwakesleep.models._checks import ModelError
from skwakesleep.models._constraints import Covariance, Interval, Ordered, Positive, Real, Simplex
from skwakesleep.models._declared_parameter import Parameter
from skwakesleep.models._function_model import FunctionModel
from skwakesleep.models._latent_factors import LatentFactors
from skwakesleep.models._protocol import ExponentialFamily, GenerativeModel, LocalFactors
from skwakesleep.models._removed_protocols import REMOVED_PROTOCOLS
from skwakesleep.models._thorough_check import check_generative_model

__all__ = [
    "Covariance",
    "ExponentialFamily",
    "FunctionModel",
    "GenerativeModel",
    "Interval",
    "LatentFactors",
    "LocalFactors",
    "ModelError",
    "NeuralDecoder",
    "Ordered",
    "Parameter",
    "Positive",
    "Real",
    "SigmoidBeliefNetwork",
    "Simplex",
    "check_generative_model",
]

_MOVED = {name: moved(name, "skwakesleep.simulators") for name in ("BlowflyDynamics", "HodgkinHuxley", "Pinwheel")}
__getattr__ = deprecated_names(__name__, _MOVED | REMOVED_PROTOCOLS)
