"""Display classes for fitted machines, in the style of scikit-learn.

`from_estimator` computes the values of a display, and `plot` draws them on given or new axes. Matplotlib is imported by
`plot`.
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
