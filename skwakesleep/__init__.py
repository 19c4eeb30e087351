"""Wake-sleep learning in Python, behind the scikit-learn API."""

from skwakesleep._helmholtz_machine import HelmholtzMachine
from skwakesleep._version import __version__

__all__ = ["HelmholtzMachine", "__version__"]
