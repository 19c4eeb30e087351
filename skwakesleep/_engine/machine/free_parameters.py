"""The number of free parameters of a generative network."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from skwakesleep._engine.machine.networks import Machine


def n_free_parameters(machine: Machine) -> int:
    """Return the number of parameters that the likelihood depends on, each counted once.

    Units of a column of categories are linearly dependent, and so are the weights from and to them. The shares of the
    cells of a column make its intercepts redundant; without hidden units they are all that is learned of a column.
    """
    # Layers bottom up: the dimension of each column or hidden unit, and the parameters that it has without parents.
    codecs = [run.codec for run in machine.columns.runs]
    own = np.concatenate([codec.n_own_parameters for codec in codecs])
    visible = np.concatenate([np.minimum(codec.widths, codec.n_own_parameters) for codec in codecs])
    dimensions = [visible, *(np.ones(size, int) for size in machine.hidden_sizes)]
    n_weights = sum(int(lower.sum()) * len(upper) for lower, upper in pairwise(dimensions))
    layers = zip(machine.generative_layers[::-1], dimensions, strict=True)
    n_lateral = sum(_n_pairs(own_dimensions) for layer, own_dimensions in layers if layer.autoregressive)
    return n_weights + n_lateral + int(own.sum()) + machine.n_latents


def _n_pairs(dimensions: NDArray) -> int:
    """Return the number of weights between all pairs of columns or units of a layer."""
    return int(dimensions.sum() ** 2 - np.square(dimensions).sum()) // 2
