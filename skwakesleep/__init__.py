"""Wake-sleep learning in Python, behind the scikit-learn API."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from skwakesleep._version import __version__

if TYPE_CHECKING:
    from skwakesleep._amortised_wake_sleep import AmortisedWakeSleep
    from skwakesleep._engine.posterior.certification import Certificate
    from skwakesleep._helmholtz_imputer import HelmholtzImputer
    from skwakesleep._helmholtz_machine import HelmholtzMachine
    from skwakesleep._inference import Inference
    from skwakesleep._outlier_detector import DensityOutlierDetector

__all__ = [
    "AmortisedWakeSleep",
    "Certificate",
    "DensityOutlierDetector",
    "HelmholtzImputer",
    "HelmholtzMachine",
    "Inference",
    "__version__",
]

# Estimators are imported on first use, so that one does not import the dependencies of the other.
_HOMES = {
    "AmortisedWakeSleep": "skwakesleep._amortised_wake_sleep",
    "Certificate": "skwakesleep._engine.posterior.certification",
    "DensityOutlierDetector": "skwakesleep._outlier_detector",
    "HelmholtzImputer": "skwakesleep._helmholtz_imputer",
    "HelmholtzMachine": "skwakesleep._helmholtz_machine",
    "Inference": "skwakesleep._inference",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
