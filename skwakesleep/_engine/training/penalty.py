"""A penalty that tells weights that matter from those that do not."""

import numpy as np
from numpy.typing import NDArray

# Below this, in log-odds, a weight is pulled towards zero as by a quadratic penalty; well above, it is left alone.
SCALE = 0.1
# Stronger penalties than this act alike, since the steps of Adam do not depend on the size of a gradient that decides
# alone; and their squares would overflow in single precision.
LARGEST_STRENGTH = 1e6


class WeightPenalty:
    """The penalty ``sum(strengths * log(1 + (parameters / SCALE) ** 2))``.

    A log penalty (Candes, Wakin & Boyd 2008), smooth at zero: minus the logarithm of independent Cauchy densities, to
    the power of the strengths. Most weights hardly matter and end near zero; those that do may be as large as they
    need to be, where a quadratic penalty would hold them back.

    Parameters
    ----------
    strengths : ndarray of shape (n_parameters,)
        Zero for parameters that go free.
    """

    def __init__(self, strengths: NDArray) -> None:
        self._twice = 2 * strengths
        self._scratch = np.empty_like(strengths)

    def subtract_gradient(self, parameters: NDArray, gradient: NDArray) -> None:
        """Subtract the penalty's gradient, ``2 * strengths * w / (w ** 2 + SCALE ** 2)``, in place."""
        with np.errstate(over="ignore"):  # of weights on their way to infinity, which are pulled no more
            pull = np.square(parameters, out=self._scratch)
        pull += SCALE**2
        np.divide(parameters, pull, out=pull)
        pull *= self._twice
        gradient -= pull
