"""Generative models for `AmortisedWakeSleep`, and the protocol that they and yours obey."""

from skwakesleep.models._latent_factors import LatentFactors
from skwakesleep.models._protocol import (
    ConditionalDensity,
    ExponentialFamily,
    GenerativeModel,
    JointDensity,
    LatentFunction,
    Likelihood,
    LikelihoodGradient,
    LocalFactors,
    NamedParameters,
    Projection,
)

__all__ = [
    "ConditionalDensity",
    "ExponentialFamily",
    "GenerativeModel",
    "JointDensity",
    "LatentFactors",
    "LatentFunction",
    "Likelihood",
    "LikelihoodGradient",
    "LocalFactors",
    "NamedParameters",
    "Projection",
]
