"""Sets of binary rows, as the benchmarks read them.

One compressed NumPy file for each set: rows "train", "valid" and "test", each packed by numpy.packbits(rows, axis=1),
and the number of columns "n_features".
"""

import numpy as np

PARTS = "train", "valid", "test"


def load(path):
    """Return the training, validation and test rows, float32."""
    with np.load(path) as data:
        n_features = int(data["n_features"])
        return [np.unpackbits(data[part], axis=1)[:, :n_features].astype(np.float32) for part in PARTS]
