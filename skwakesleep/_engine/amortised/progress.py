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
# Measured on factor analysis with 500 dreams: a tenth of it is too slow for twelve factors and a thousand steps.
TOLERATED_LOSS = 1.5e-4
# Fewer parameters than these are counted as many, so that the noise of a review does not decide.
MIN_PARAMETERS = 20
# Multiple of it that shortens the steps already while the fit climbs. Steps that are too long for single directions, as
# most are, still climb in others.
LARGE_LOSS = 16.0
# Factors of the step size at one review, which is a noisy measurement: after a large loss, and after a larger gain than
# the loss that is tolerated.
SHORTENING, LENGTHENING = 0.5, 1.2
# A training has settled after this multiple of the steps after which its loss was first tolerable. From the first step
# on, or with long steps, the contrast of fresh dreams can lead noise to zero, as measured with four factors and more.
SETTLING_FACTOR = 1.5


@dataclass
class Progress:
    """Factor of the step size, and whether the training has settled around an optimum.

    Attributes
    ----------
    factor : float
        Multiplies the steps; at most one.
    last_gain : float
        Result of the last review, in nats per row; infinite before the first.
    level_at : int or None
        Number of steps when two reviews together first found a loss, and the second no large one; None before.
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
    last_gain: float = np.inf
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
        """End an interval: adapt the step size to what the displacement before it has gained or lost."""
        if self.total is not None and self.displacement is not None:
            self._judge(float(self.total @ self.displacement) / self.n_gradients, len(parameters), n_steps)
        displacement = None if self.start is None else parameters - self.start
        self.interrupt()
        self.start, self.displacement = parameters.copy(), displacement

    def _judge(self, gain: float, n_parameters: int, n_steps: int) -> None:
        tolerated = TOLERATED_LOSS * max(n_parameters, MIN_PARAMETERS)
        if gain > tolerated:
            self.factor = min(1.0, self.factor * LENGTHENING)
        elif self.has_settled(n_steps) or gain < -LARGE_LOSS * tolerated:
            # The loss is proportional to the square of the step size.
            factor = float(np.sqrt(tolerated / -gain)) if gain < 0 else 1.0
            self.factor *= float(np.clip(factor, SHORTENING, 1.0))
        elif gain + self.last_gain < 0 and self.level_at is None:
            self.level_at = n_steps
        self.last_gain = gain

    def interrupt(self) -> None:
        """Start a new interval, because the parameters have changed other than by steps."""
        self.n_gradients, self.total, self.start, self.displacement = 0, None, None, None

    def has_settled(self, n_steps: int) -> bool:
        """Return whether dreams and data are alike, up to the bias of the gradient."""
        return self.level_at is not None and n_steps >= SETTLING_FACTOR * self.level_at

    def check(self, n_parameters: int) -> None:
        """Raise ValueError unless all arrays are finite and of the right size, and the factor is in [0, 1]."""
        for name in ("total", "start", "displacement"):
            if getattr(self, name) is not None:
                check_vector(name, getattr(self, name), n_parameters)
        if not 0 <= self.factor <= 1 or self.n_gradients < 0:
            raise ValueError(f"the factor of the steps is {self.factor!r}, after {self.n_gradients!r} gradients")
