"""Diagnostics of fitted black-box models: the fit, the regression, the model, and the method.

Each function takes a fitted `AmortisedWakeSleep` and the training data, and returns numbers and a table for
`pandas.DataFrame`. `skwakesleep.plotting` has a display for each.
"""

from skwakesleep.inspection._dreams import compare_with_dreams
from skwakesleep.inspection._gradient import check_convergence, check_regression
from skwakesleep.inspection._recovery import recover_parameters

__all__ = ["check_convergence", "check_regression", "compare_with_dreams", "recover_parameters"]
