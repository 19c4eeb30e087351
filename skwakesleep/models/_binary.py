"""Binary variables: draws, and logits of data."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit


def random_bits(logits: NDArray, rng: np.random.Generator) -> NDArray:
    """Return zeros and ones with the given logits, as float64."""
    return (rng.random(logits.shape) < expit(logits)).astype(np.float64)


def mean_logits(X: NDArray) -> NDArray:
    """Return the logits of the columns' means, with half a row of zeros and half a row of ones added to the data."""
    # A column of one value has finite logits.
    counts = X.sum(axis=0)
    return np.log(counts + 0.5) - np.log(len(X) - counts + 0.5)
