"""The learning rule: wake-sleep and reweighted wake-sleep, as one.

Hinton, Dayan, Frey & Neal (1995) draw the hidden units once for each row and train the recognition network on
dreams; Bornschein & Bengio (2015) draw ``n_particles`` and weight them by importance. The former is the latter
with one particle and the sleep-phase update.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from skwakesleep._engine.arrays.numerics import log_sum_exp
from skwakesleep._engine.arrays.random import CoarseNoise, Noise, Streams
from skwakesleep._engine.arrays.workspace import Workspace
from skwakesleep._engine.machine.networks import Machine
from skwakesleep._engine.machine.rows import Batch
from skwakesleep._engine.training.layout import Views
from skwakesleep._engine.training.penalty import LARGEST_STRENGTH, WeightPenalty

# The share of an equal weight below which weights are thinned out, lest the matrix products work for next to nothing:
# with hundreds of columns, a few particles have all the weight.
NEGLIGIBLE = 0.05
# A visible unit whose mean is right to within so much is left alone. Adam makes full steps of the smallest gradients,
# and would make impossible what did not occur among the rows it saw.
SETTLED = 1e-5

# A row counts in the lower bound with no less than minus this number of nats per unit, so that a single extreme value
# does not decide when training ends; a fair binary unit costs log 2 = 0.7 nats.
LARGEST_LOSS = 200.0

RecognitionUpdate = Literal["wake", "sleep", "both"]


class WakeSleep:
    """Gradient of both networks' parameters on a mini-batch, for ascent.

    Parameters
    ----------
    machine : Machine
        The two networks.
    parameters : ndarray of shape (machine.layout.size,)
        The flat vector that is being trained; read at every call.
    n_particles : int
        Importance samples per row, ``K``.
    recognition_update : {"wake", "sleep", "both"}
        Where the recognition network learns: from the weighted particles (needs ``K >= 2``), from dreams, or
        from the mean of the two gradients.
    alpha : float
        Strength of the penalty on the weights per row, see `WeightPenalty`; zero for none.
    streams : Streams
        Provides the streams "particles" and "dreams".

    Attributes
    ----------
    gradient : ndarray of shape (machine.layout.size,)
        Gradient at the last mini-batch.
    damping : ndarray of shape (machine.layout.size,) or None
        Factors of the step that follows, see `Layer.damp`.
    """

    def __init__(
        self,
        machine: Machine,
        parameters: NDArray,
        *,
        n_particles: int,
        recognition_update: RecognitionUpdate,
        alpha: float,
        streams: Streams,
    ) -> None:
        self.machine = machine
        self.n_particles = n_particles
        self.recognition_update = recognition_update
        self.gradient = np.zeros_like(parameters)
        self._parameters = parameters
        self._penalty = None
        if alpha:
            self._penalty = WeightPenalty(
                min(alpha, LARGEST_STRENGTH) * machine.layout.mask({"weights", "triangle"}, parameters.dtype)
            )
        self.damping: NDArray | None = None
        factors = np.ones_like(parameters)
        self._factors = factors, machine.bind(factors).generative[-1]
        self._theta = machine.bind(parameters)
        self._grad = machine.bind(self.gradient)
        sleep_gradient = np.zeros_like(parameters) if recognition_update == "both" else self.gradient
        self._sleep_grad = machine.bind(sleep_gradient)
        self._learned_awake, self._learned_asleep = map(machine.recognition_part, (self.gradient, sleep_gradient))
        self._particles = CoarseNoise(streams["particles"])
        self._dreams = CoarseNoise(streams["dreams"])
        self._thinning = CoarseNoise(streams["thinning"])
        self._awake, self._asleep = Workspace(), Workspace()  # of different shapes

    def floor(self, nats: float) -> float:
        """Return the lower bound at which every unit of the machine costs so many nats on average."""
        return -nats * sum(self.machine.sizes) - self.machine.visible.log_volume

    def __call__(self, batch: Batch) -> float:
        """Set `gradient` for a mini-batch of ``B`` rows and return its mean lower bound in nats per row."""
        bound = self._wake(batch)
        if self.recognition_update != "wake":
            self._sleep(len(batch.units))
        if self.recognition_update == "both":
            self._learned_awake += self._learned_asleep
        if self._penalty is not None:
            self._penalty.subtract_gradient(self._parameters, self.gradient)
        factors, visible_factors = self._factors
        damped = self.machine.generative.layers[-1].damp(self._theta.generative[-1], visible_factors)
        self.damping = factors if damped else None
        return bound

    def _wake(self, batch: Batch) -> float:
        """Explain the data: draw particles bottom-up, weight them, move the generative network towards them."""
        K, B = self.n_particles, len(batch.units)
        theta, grad = self._theta, self._grad
        q = self.machine.recognition.draw(theta.recognition, batch.root, (K, B), self._particles, self._awake)
        states = [*q.states[::-1], batch.units]
        p = self.machine.generative.evaluate(theta.generative, None, states, self._awake)
        log_w = p.log_prob - q.log_prob  # (K, B)
        log_sum = log_sum_exp(log_w, axis=0)
        w = np.exp(log_w - log_sum)
        thinned = thin(w, self._thinning)
        self.machine.generative.gradient(theta.generative, p, thinned / B, grad.generative, self._awake)
        settle(grad.generative[-1])
        if self.recognition_update != "sleep":
            # The score has mean zero under q, so subtracting 1/K changes the variance alone.
            share = 1.0 if self.recognition_update == "wake" else 0.5
            weights = (w - 1 / K) * (share / B)
            self.machine.recognition.gradient(theta.recognition, q, weights, grad.recognition, self._awake)
        bounds = np.maximum(log_sum - np.log(K), self.floor(LARGEST_LOSS), dtype=np.float64)
        return float(bounds.mean())

    def _sleep(self, n_dreams: int) -> None:
        """Dream from the generative network, and move the recognition network towards the dreams' causes."""
        theta = self._theta
        *causes, x = self.machine.generative.sample(theta.generative, None, (n_dreams,), self._dreams, self._asleep)
        q = self.machine.recognition.evaluate(theta.recognition, x, causes[::-1], self._asleep)
        share = 1.0 if self.recognition_update == "sleep" else 0.5
        weights = np.full(n_dreams, share / n_dreams, dtype=x.dtype)
        self.machine.recognition.gradient(theta.recognition, q, weights, self._sleep_grad.recognition, self._asleep)


def settle(grad: Views) -> None:
    """Set to zero the gradient of units whose mean is right, in place."""
    settled = np.abs(grad["intercept"]) < SETTLED
    if settled.any():
        for name in grad.keys() & {"weights", "triangle", "intercept"}:
            grad[name][..., settled] = 0


def thin(weights: NDArray, noise: Noise) -> NDArray:
    """Return importance weights ``(K, B)`` of the same expectation, of which those that hardly count are mostly zero.

    A weight ``w`` below ``least = NEGLIGIBLE / K`` is raised to it with probability ``w / least``, and else dropped.
    """
    least = NEGLIGIBLE / len(weights)
    kept = noise.uniform(weights.shape, weights.dtype) * least < weights
    return np.where(kept, np.maximum(weights, least), 0)
