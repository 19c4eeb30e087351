"""Wake-sleep learning in Python, behind the scikit-learn API."""

from skwakesleep._amortised_wake_sleep import AmortisedWakeSleep
from skwakesleep._helmholtz_machine import HelmholtzMachine
from skwakesleep._version import __version__

__all__ = ["AmortisedWakeSleep", "HelmholtzMachine", "__version__"]
