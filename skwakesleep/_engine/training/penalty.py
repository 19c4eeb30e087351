"""The penalty on weights."""

from numpy.typing import NDArray

from skwakesleep._engine.arrays.numpy_backend import NumpyBackend

# In log-odds: below this, the penalty is nearly quadratic; far above, it hardly changes.
SCALE = 0.1
# Larger strengths have the same effect, since the steps of Adam do not depend on the size of a gradient that dominates;
# their squares would overflow in single precision.
LARGEST_STRENGTH = 1e6


class WeightPenalty:
    """The penalty ``sum(strengths * log(1 + (parameters / SCALE) ** 2))``.

    A log penalty (Candes, Wakin & Boyd 2008), smooth at zero: minus the logarithm of independent Cauchy densities, to
    the power of the strengths. Most weights end near zero; unlike with a quadratic penalty, large ones hardly shrink.

    Parameters
    ----------
    strengths : ndarray of shape (n_parameters,)
        Zero for parameters without penalty.
    """

    def __init__(self, strengths: NDArray) -> None:
        self._minus_twice = -2 * strengths

    def subtract_gradient(self, parameters: NDArray, gradient: NDArray, backend: NumpyBackend) -> None:
        """Subtract the penalty's gradient, ``2 * strengths * w / (w ** 2 + SCALE ** 2)``, in place."""
        backend.add_pull(parameters, self._minus_twice, SCALE, gradient)
