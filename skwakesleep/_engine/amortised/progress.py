"""Whether the steps of a training still climb, judged by its gradients alone.

The log-likelihood need not be known. The displacement over an interval of steps, times the mean gradient over the
*next* interval, is what a repetition of the displacement would gain. It is positive while the fit climbs. Around an
optimum it is negative: the displacement is mostly noise, and the gradients after it point back (Pflug 1990).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skwakesleep._engine.training.state import check_vector

# Loss over an interval that is tolerated, in nats per row and parameter. It grows with the square of the step size.
# Measured: with a tenth of it, twelve factors are not learned in a thousand steps; ten times as much is not stable.
TOLERATED_LOSS = 1.5e-4
# Smallest factor of the step size at one review. A review is a noisy measurement.
SMALLEST_FACTOR = 0.5
# A training is settled if it has made this multiple of the steps after which its loss was first tolerable.
SETTLING_FACTOR = 2


@dataclass
class Progress:
    """Factor of the step size, and whether the training has settled around an optimum.

    Attributes
    ----------
    factor : float
        Multiplies the steps; at most one.
    level_at : int or None
        Number of steps when the fit first climbed no more and lost little; None before.
    n_gradients : int
        Number of gradients in the present interval.
    total : ndarray of shape (P,) or None
        Their sum.
    start : ndarray of shape (P,) or None
        Parameters at the start of the interval.
    displacement : ndarray of shape (P,) or None
        Change of the parameters over the interval before.
    """

    factor: float = 1.0
    level_at: int | None = None
    n_gradients: int = 0
    total: NDArray | None = None
    start: NDArray | None = None
    displacement: NDArray | None = None

    def record(self, gradient: NDArray) -> None:
        """Add a gradient to the present interval."""
        self.total = gradient.copy() if self.total is None else self.total + gradient
        self.n_gradients += 1

    def review(self, parameters: NDArray, n_steps: int) -> None:
        """End an interval: shorten the steps if the displacement before it has lost more than is tolerated."""
        if self.total is not None and self.displacement is not None:
            self._judge(float(self.total @ self.displacement) / self.n_gradients, len(parameters), n_steps)
        displacement = None if self.start is None else parameters - self.start
        self.interrupt()
        self.start, self.displacement = parameters.copy(), displacement

    def _judge(self, gain: float, n_parameters: int, n_steps: int) -> None:
        if not gain < 0:
            return
        # The loss is proportional to the square of the step size.
        factor = np.sqrt(TOLERATED_LOSS * n_parameters / -gain)
        self.factor *= float(np.clip(factor, SMALLEST_FACTOR, 1.0))
        if self.level_at is None and factor > SMALLEST_FACTOR:
            self.level_at = n_steps

    def interrupt(self) -> None:
        """Start a new interval, because the parameters have changed other than by steps."""
        self.n_gradients, self.total, self.start, self.displacement = 0, None, None, None

    def has_settled(self, n_steps: int) -> bool:
        """Return whether dreams and data are alike, up to the bias of the gradient."""
        return self.level_at is not None and n_steps >= SETTLING_FACTOR * self.level_at

    def check(self, n_parameters: int) -> None:
        """Raise ValueError unless all arrays are finite and of the right size, and the factor is in (0, 1]."""
        for name in ("total", "start", "displacement"):
            if getattr(self, name) is not None:
                check_vector(name, getattr(self, name), n_parameters)
        if not 0 < self.factor <= 1 or self.n_gradients < 0:
            raise ValueError(f"the factor of the steps is {self.factor!r}, after {self.n_gradients!r} gradients")
