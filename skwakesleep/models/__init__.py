"""Generative models for `AmortisedWakeSleep`, and the protocol that they and yours obey."""

from skwakesleep.models._belief_network import SigmoidBeliefNetwork
from skwakesleep.models._blowfly import BlowflyDynamics
from skwakesleep.models._decoder import NeuralDecoder
from skwakesleep.models._function_model import FunctionModel
from skwakesleep.models._hodgkin_huxley import HodgkinHuxley
from skwakesleep.models._latent_factors import LatentFactors
from skwakesleep.models._pinwheel import Pinwheel
from skwakesleep.models._promises import check_generative_model
from skwakesleep.models._protocol import (
    ColumnUnits,
    ConditionalDensity,
    ExponentialFamily,
    GenerativeModel,
    JointDensity,
    LatentFunction,
    Likelihood,
    LikelihoodGradient,
    LocalFactors,
    LocalFeatures,
    NamedParameters,
    Projection,
)

__all__ = [
    "BlowflyDynamics",
    "ColumnUnits",
    "ConditionalDensity",
    "ExponentialFamily",
    "FunctionModel",
    "GenerativeModel",
    "HodgkinHuxley",
    "JointDensity",
    "LatentFactors",
    "LatentFunction",
    "Likelihood",
    "LikelihoodGradient",
    "LocalFactors",
    "LocalFeatures",
    "NamedParameters",
    "NeuralDecoder",
    "Pinwheel",
    "Projection",
    "SigmoidBeliefNetwork",
    "check_generative_model",
]
