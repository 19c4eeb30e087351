"""Densities and tables of rows for the tests of densities of tables."""

import numpy as np

from skwakesleep._engine.machine.columns import KINDS
from skwakesleep.reference import IndependentColumns, LatentClasses

DENSITIES = {
    "independent": IndependentColumns(),
    "one class": LatentClasses(1, random_state=0),
    "three classes": LatentClasses(3, random_state=0),
    "restarts": LatentClasses(2, n_init=3, random_state=0),
}
ALL_KINDS = ["gaussian", "categorical", "bernoulli", "count", "continuous", "ordinal"]
TABLES = {**{kind: [kind] * 3 for kind in KINDS}, "all kinds": ALL_KINDS}


def table_of(kinds, n_rows=300, seed=0, holes=0.2):
    """Return rows of two classes, with holes."""
    rng = np.random.default_rng(seed)
    upper = rng.random((n_rows, 1)) < 0.4
    draws = {
        "bernoulli": lambda: rng.random(n_rows) < 0.2 + 0.6 * upper[:, 0],
        "gaussian": lambda: 7 + 3 * upper[:, 0] + rng.normal(size=n_rows),
        "categorical": lambda: rng.integers(3, size=n_rows) * (1 - upper[:, 0]),
        "ordinal": lambda: rng.binomial(4, 0.2 + 0.5 * upper[:, 0]),
        "count": lambda: rng.poisson(2 + 6 * upper[:, 0]),
        "continuous": lambda: rng.lognormal(upper[:, 0]),
    }
    X = np.column_stack([draws[kind]() for kind in kinds]).astype(float)
    X[rng.random(X.shape) < holes] = np.nan
    return X
