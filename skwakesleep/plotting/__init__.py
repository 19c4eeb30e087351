"""Pictures of what a machine has learned, as display classes in scikit-learn's manner.

Each class holds what it shows; `from_estimator` computes that, and `plot` draws it on given or new axes. Matplotlib is
imported when something is drawn.
"""

from skwakesleep.plotting._activity import ActivityDisplay
from skwakesleep.plotting._comparison import ComparisonDisplay
from skwakesleep.plotting._components import ComponentsDisplay
from skwakesleep.plotting._samples import ReconstructionDisplay, SamplesDisplay
from skwakesleep.plotting._scores import ScoreDisplay
from skwakesleep.plotting._training import TrainingDisplay

__all__ = [
    "ActivityDisplay",
    "ComparisonDisplay",
    "ComponentsDisplay",
    "ReconstructionDisplay",
    "SamplesDisplay",
    "ScoreDisplay",
    "TrainingDisplay",
]
