"""Display classes for fitted machines, in the style of scikit-learn.

`from_estimator` computes the values of a display, and `plot` draws them on given or new axes. Matplotlib is imported by
`plot`.
"""

from skwakesleep.plotting._images import ComponentsDisplay, ReconstructionDisplay, SamplesDisplay
from skwakesleep.plotting._inspection import ConvergenceDisplay, DreamComparisonDisplay, RegressionDisplay
from skwakesleep.plotting._recovery import RecoveryDisplay
from skwakesleep.plotting._scores import ComparisonDisplay, ScoreDisplay
from skwakesleep.plotting._tables import ExplanationDisplay, TableDisplay
from skwakesleep.plotting._training import ActivityDisplay, TrainingDisplay

__all__ = [
    "ActivityDisplay",
    "ComparisonDisplay",
    "ComponentsDisplay",
    "ConvergenceDisplay",
    "DreamComparisonDisplay",
    "ExplanationDisplay",
    "ReconstructionDisplay",
    "RecoveryDisplay",
    "RegressionDisplay",
    "SamplesDisplay",
    "ScoreDisplay",
    "TableDisplay",
    "TrainingDisplay",
]
