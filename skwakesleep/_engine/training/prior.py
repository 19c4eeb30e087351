"""The prior on weights."""

from typing import NamedTuple

from numpy.typing import NDArray

# Larger strengths have the same effect, since the steps of an optimizer that divides by the size of gradients do not
# depend on it; their squares would overflow in single precision.
LARGEST_STRENGTH = 1e6
# Information about a weight that the prior adds to that of the rows: as much as one row in which the weight decides.
PRIOR_INFORMATION = 1.0
# Steps in which the strength rises to its full value: at first, hidden units explain nothing, and would be shrunk to
# nothing before they do. With real columns this gains .5 to 1 nats.
RISING_STEPS = 500


class WeightPrior(NamedTuple):
    """A log penalty on the scale of the standard errors of the weights.

    In nats, ``alpha * sum(log(1 + information * weights ** 2))`` is subtracted from the log-likelihood of all rows
    (Candes, Wakin & Boyd 2008). The information about a weight is the expected square of its gradient at a row, times
    the number of rows, plus `PRIOR_INFORMATION`; its inverse is the square of the standard error. Weights that are
    smaller than their standard errors are shrunk towards zero; large ones hardly change. The same strength suits any
    number of rows.

    Attributes
    ----------
    strengths : ndarray of shape (n_parameters,)
        Strengths per row, times two; zero for parameters without penalty.
    n_rows : int
        Number of rows that the parameters are fitted to.
    batch_size : int
        Number of rows over which a gradient is averaged.
    dispersion : float
        Factor of the strengths: variance of the data, relative to that of draws.
    """

    strengths: NDArray
    n_rows: int
    batch_size: int
    dispersion: float = 1.0

    @property
    def rows_per_square(self) -> float:
        """The information of all rows, divided by the mean square of gradients."""
        return float(self.n_rows * self.batch_size)  # a NumPy scalar would promote float32 to float64

    def share(self, n_steps: int) -> float:
        """Return the share of the strengths at a step."""
        return self.dispersion * min(1.0, n_steps / RISING_STEPS)
