"""Generative models for `AmortisedWakeSleep`, and the protocol that they and yours obey."""

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
    "LatentFunction",
    "Likelihood",
    "LikelihoodGradient",
    "LocalFactors",
    "NamedParameters",
    "Projection",
]
