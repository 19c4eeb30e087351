"""Parameters to begin with that rows determine in closed form: linear dependence between Gaussian columns."""

import numpy as np
from numpy.typing import NDArray

from skwakesleep._engine.machine.families import Gaussian
from skwakesleep._engine.machine.networks import Machine
from skwakesleep._engine.machine.rows import Rows
from skwakesleep._engine.training.layout import Views

# Rows from which the covariance is estimated.
MAX_ROWS = 10_000


def regress_columns(machine: Machine, parameters: NDArray, rows: Rows) -> None:
    """Set each Gaussian column of an autoregressive visible layer to its regression on those before it, in place.

    Without hidden units, the columns are then normal with the covariance of the rows. Small steps from independent
    columns would take long to find nearly exact dependences.
    """
    visible = machine.generative_layers[-1]
    runs = [run for run in machine.columns.runs if isinstance(run.family, Gaussian)]
    if not visible.autoregressive or not runs or len(rows) < 2:
        return
    units = rows.take(np.linspace(0, len(rows) - 1, min(len(rows), MAX_ROWS)).astype(np.intp)).units[:, 0]
    params = machine.views(parameters).generative[-1]
    for run in runs:
        own = {name: values[..., run.units] for name, values in params.items() if name != "log_variance"}
        own["triangle"] = params["triangle"][run.units, run.units]
        own["log_variance"] = params["log_variance"]
        _regress(run.family, own, units[:, run.units])


def _regress(family: Gaussian, params: Views, units: NDArray) -> None:
    center = units.mean(axis=0, dtype=np.float64)
    covariance = shrunk_covariance(units - center)
    factor = np.linalg.cholesky(covariance)  # x = factor @ noise, so inv(factor) @ x is noise
    deviations = np.diag(factor)
    triangle = np.triu(-np.linalg.inv(factor).T * deviations, k=1)
    params["triangle"][...] = triangle
    params["intercept"][...] = center - center @ triangle
    family.set_variance(params, np.square(deviations))
    params["weights"] *= deviations  # hidden units change the mean by a share of the noise


def shrunk_covariance(centered: NDArray) -> NDArray:
    """Return the covariance of rows, shrunk towards a multiple of the identity (Chen, Wiesel, Eldar & Hero 2010)."""
    n, p = centered.shape
    sample = centered.T @ centered / n
    mean = np.trace(sample) / p
    square = np.square(sample).sum()
    numerator = (1 - 2 / p) * square + (p * mean) ** 2
    denominator = (n + 1 - 2 / p) * (square - p * mean**2)
    share = min(1.0, numerator / denominator) if denominator > 0 else 1.0
    least = np.finfo(np.float32).eps
    return (1 - share) * sample + (share * mean + least) * np.eye(p)
