"""Priors of the latent factors of `LatentFactors`, by name."""

from skwakesleep.models._priors._angle import Angle
from skwakesleep.models._priors._base import Continuous, Prior
from skwakesleep.models._priors._bernoulli import Bernoulli
from skwakesleep.models._priors._categorical import Categorical
from skwakesleep.models._priors._laplace import Laplace
from skwakesleep.models._priors._normal import Normal
from skwakesleep.models._priors._uniform import Uniform

__all__ = ["PRIORS", "Continuous", "Prior"]

# To add a prior, write its file and add its line here.
PRIORS: dict[str, type[Prior]] = {
    "normal": Normal,
    "laplace": Laplace,
    "uniform": Uniform,
    "angle": Angle,
    "bernoulli": Bernoulli,
    "categorical": Categorical,
}
