"""The learning rule: wake-sleep and reweighted wake-sleep.

Hinton, Dayan, Frey & Neal (1995) draw the hidden units once for each row and train the recognition network on dreams.
Bornschein & Bengio (2015) draw ``n_particles`` and weight them by importance. The former is the latter with one
particle and the sleep-phase update.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from skwakesleep._engine.arrays.numerics import log_sum_exp
from skwakesleep._engine.arrays.numpy_backend import NumpyBackend
from skwakesleep._engine.arrays.random import CoarseNoise, Noise, Streams
from skwakesleep._engine.machine.networks import Machine
from skwakesleep._engine.machine.rows import Visible
from skwakesleep._engine.training.prior import LARGEST_STRENGTH, WeightPrior

# Importance weights below this share of an equal weight are thinned out. With hundreds of columns a few particles have
# all the weight, and most of the time would be spent on products that hardly count.
THINNED_SHARE = 0.05
# A row counts in the lower bound with at least minus this number of nats per unit, so that a single extreme value does
# not decide when training ends. A fair Bernoulli unit costs log 2 = 0.7 nats.
LARGEST_LOSS = 200.0

RecognitionUpdate = Literal["wake", "sleep", "both"]


class WakeSleep:
    """Gradient of the parameters of both networks on a mini-batch, for ascent.

    Parameters
    ----------
    machine : Machine
        The two networks.
    parameters : ndarray of shape (machine.layout.size,)
        The flat vector that is being trained; read at every call.
    backend : NumpyBackend
        Computes.
    n_particles : int
        Importance samples per row, ``K``.
    recognition_update : {"wake", "sleep", "both"}
        Where the recognition network learns: from the weighted particles (needs ``K >= 2``), from dreams, or from the
        mean of the two gradients.
    alpha : float
        Strength of the prior: of the penalty on the weights, see `WeightPrior`, and the number of rows that are added
        to the observed ones for the intercepts, see `Family.intercept_pull`.
    n_rows : int
        Number of rows that the machine is fitted to.
    batch_size : int
        Rows in a mini-batch.
    streams : Streams
        Provides the streams "particles", "dreams" and "thinning".

    Attributes
    ----------
    gradient : ndarray of shape (machine.layout.size,)
        Gradient at the last mini-batch.
    damping : ndarray of shape (machine.layout.size,) or None
        Factors of the step that follows, see `BoundLayer.damp`.
    prior : WeightPrior
        The prior on the weights, whose gradient is not part of `gradient`.
    """

    def __init__(
        self,
        machine: Machine,
        parameters: NDArray,
        backend: NumpyBackend,
        *,
        n_particles: int,
        recognition_update: RecognitionUpdate,
        alpha: float,
        n_rows: int,
        batch_size: int,
        streams: Streams,
    ) -> None:
        self.machine = machine
        self.n_particles = n_particles
        self.recognition_update = recognition_update
        self.gradient = np.zeros_like(parameters)
        self.damping: NDArray | None = None
        self._per_row = min(alpha, LARGEST_STRENGTH) / n_rows
        weights = machine.layout.mask({"weights", "triangle"}, parameters.dtype)
        # The quasi-likelihood of data with less variance than draws is the likelihood, divided by their dispersion
        # (Wedderburn 1974). The prior, relative to it, is as much weaker.
        strength = 2 * self._per_row * machine.columns.dispersion
        self.prior = WeightPrior(weights * strength, n_rows, batch_size)
        self._factors = np.ones_like(parameters)
        self._grad, self._visible_factors = machine.views(self.gradient), machine.views(self._factors).generative[-1]
        sleep_gradient = np.zeros_like(parameters) if recognition_update == "both" else self.gradient
        self._sleep_grad = machine.views(sleep_gradient)
        self._wake_part, self._sleep_part = map(machine.recognition_part, (self.gradient, sleep_gradient))
        self._particles, self._dreams, self._thinning = (
            CoarseNoise(streams[purpose], backend) for purpose in ("particles", "dreams", "thinning")
        )
        self._least_log_sum = self.floor(LARGEST_LOSS) + np.log(n_particles)
        # Scratch arrays of both phases have different shapes.
        self._awake, self._asleep = (machine.bind(parameters, backend.new()) for _ in range(2))

    def floor(self, nats: float) -> float:
        """Return the lower bound at which every unit of the machine costs this number of nats on average."""
        return -nats * self.machine.n_units - self.machine.columns.log_volume

    def __call__(self, batch: Visible) -> float:
        """Set `gradient` for a mini-batch of ``B`` rows and return its mean lower bound in nats per row."""
        bound = self._wake(batch)
        if self.recognition_update != "wake":
            self._sleep(len(batch.units), batch.missing)
        if self.recognition_update == "both":
            self._wake_part += self._sleep_part
        if self._per_row:
            for network, grads in zip(self._awake, self._grad, strict=True):
                for layer, grad in zip(network.layers, grads, strict=True):
                    layer.pull_intercept(self._per_row, grad)
        damped = self._awake.generative.layers[-1].damp(self._visible_factors)
        self.damping = self._factors if damped else None
        return bound

    def _wake(self, batch: Visible) -> float:
        """Draw particles from the recognition network, weight them, and train the generative network on them."""
        generative, recognition = self._awake
        B, K = len(batch.units), self.n_particles
        q = recognition.draw(batch.root, (B, K), self._particles)
        p = generative.evaluate(None, [*q.states[::-1], self._completed(batch, q.states[0])], batch.missing)
        log_w = np.ascontiguousarray((p.log_prob - q.log_prob).T)  # (K, B): sums over the first axis are faster
        log_sum = log_sum_exp(log_w, axis=0)
        w = np.exp(log_w - log_sum).T.astype(self.gradient.dtype, copy=False)
        generative.gradient(p, thin(w, self._thinning) / B, self._grad.generative)
        if self.recognition_update != "sleep":
            # The score has mean zero under q, so subtracting 1/K changes the variance alone.
            share = 1.0 if self.recognition_update == "wake" else 0.5
            recognition.gradient(q, (w - 1 / K) * (share / B), self._grad.recognition)
        bounds = np.maximum(log_sum, self._least_log_sum, dtype=np.float64)
        if batch.log_base is not None:
            bounds += batch.log_base
        return float(bounds.sum() / B - np.log(K))

    def _completed(self, batch: Visible, hidden: NDArray) -> NDArray:
        """Return the units of a batch; in an autoregressive layer with missing ones drawn for each particle."""
        visible = self._awake.generative.layers[-1]
        if batch.missing is None or not visible.autoregressive:
            return batch.units
        return visible.complete(hidden, batch.units, batch.missing, self._particles)

    def _sleep(self, n_dreams: int, missing: NDArray | None) -> None:
        """Draw dreams from the generative network, and train the recognition network on their causes.

        It sees them with the missing values of the batch.
        """
        generative, recognition = self._asleep
        *causes, x = generative.sample(None, (n_dreams, 1), self._dreams)
        x = self.machine.columns.root(x, missing)
        q = recognition.evaluate(x, causes[::-1])
        share = 1.0 if self.recognition_update == "sleep" else 0.5
        weights = np.full((n_dreams, 1), share / n_dreams, dtype=x.dtype)
        recognition.gradient(q, weights, self._sleep_grad.recognition)


def thin(weights: NDArray, noise: Noise) -> NDArray:
    """Return importance weights ``(B, K)`` with the same expectation, of which most small ones are zero.

    A weight ``w`` below ``least = THINNED_SHARE / K`` becomes `least` with probability ``w / least``, and zero
    otherwise.
    """
    least = THINNED_SHARE / weights.shape[1]
    kept = noise.uniform(weights.shape, weights.dtype) * least < weights
    return np.where(kept, np.maximum(weights, least), 0)
