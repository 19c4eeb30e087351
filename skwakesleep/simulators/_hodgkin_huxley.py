"""Spiking neurons that can only be simulated: the density of the observations is not known."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, exprel

from skwakesleep._engine.arrays.numerics import normal_log_prob
from skwakesleep.models._bases import Model, NamedArrays

# The squid's giant axon (Hodgkin & Huxley 1952, potentials relative to a rest at -65 mV).
CAPACITANCE = 1.0  # uF / cm^2
CONDUCTANCES = np.array([120.0, 36.0, 0.3])  # mS / cm^2: sodium, potassium, leak
REVERSALS = np.array([50.0, -77.0, -54.4])  # mV
REST = -65.0  # mV
# Begin and end of the step of current, and of the recording.
ONSET, OFFSET, DURATION = 10.0, 50.0, 60.0  # ms
TIME_STEP = 0.05  # ms: exponential Euler is stable, and the times of spikes are correct to a tenth of a millisecond
# The standard deviation of the conductances' logarithms: its initial value, and its bounds.
SCALE = 0.4
SCALE_BOUNDS = (0.05, 1.0)
SPIKE_THRESHOLD = 0.0  # mV, crossed upward by every spike and by nothing else
# Scales of the summaries, so that each varies by about one.
SUMMARY_UNITS = np.array([2.0, 4.0, 6.0, 12.0, 2.0, 0.4, 0.6, 3.0])


class HodgkinHuxley(NamedArrays, Model):
    """Neurons after Hodgkin and Huxley, whose conductances vary from cell to cell.

    Each observation is a neuron [1]_ under a step of current: eight summaries of its membrane potential. Latents
    ``z (n, 3)`` are the logarithms of its conductances for sodium, potassium and leak, in units of those of the
    squid's giant axon. They are normal; the parameters are their means and scales. A noisy current makes every trial
    different. The density of the summaries is not known. It is free of the parameters, and so has no part in the
    gradient.

    Fitted to many neurons, the parameters describe their population. Fitted to a single one, the scales shrink to their
    lower bound and the means become an estimate of its conductances; `AmortisedWakeSleep.expect` and `transform`
    then give its posterior expectations.

    Parameters
    ----------
    current : float, default=10.0
        Amplitude of the step, in uA / cm^2.
    noise : float, default=1.0
        Standard deviation of the noisy current, as white noise in uA / cm^2 * sqrt(ms).

    Attributes
    ----------
    n_features : int
        Number of summaries, 8.
    n_params : int
        Number of parameters, 6.

    Notes
    -----
    The summaries, in units in which each varies by about one: median potential before the step; mean, standard
    deviation, maximum and minimum during it; the logarithm of the number of spikes plus one; the logarithm of the time
    to the first spike; the potential shortly after the step. Integration by exponential Euler in steps of 0.05 ms.

    References
    ----------
    .. [1] A. L. Hodgkin, A. F. Huxley. "A quantitative description of membrane current and its application to
       conduction and excitation in nerve". Journal of Physiology 117 (1952) 500-544.

    Examples
    --------
    >>> import numpy as np
    >>> from skwakesleep.simulators import HodgkinHuxley
    >>> model = HodgkinHuxley()
    >>> rng = np.random.default_rng(0)
    >>> potentials = model.simulate(np.zeros((2, 3)), rng)
    >>> potentials.shape
    (2, 1200)
    >>> model.summarize(potentials).shape
    (2, 8)
    """

    n_features = len(SUMMARY_UNITS)

    def __init__(self, current: float = 10.0, noise: float = 1.0) -> None:
        if not noise >= 0:
            raise ValueError(f"noise must be a number >= 0. Got {noise!r}.")
        self.current = current
        self.noise = noise

    @property
    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return {"means": CONDUCTANCES.shape, "log_scales": CONDUCTANCES.shape}

    @property
    def times(self) -> NDArray:
        """Times of the potentials of `simulate`, in ms."""
        return np.arange(round(DURATION / TIME_STEP)) * TIME_STEP

    def initial_params(self, X: NDArray, rng: np.random.Generator) -> NDArray:
        """Return the squid's conductances, each within about a tenth, with wide scales.

        Parameters
        ----------
        X : ndarray of shape (m, 8)
            Not used.
        rng : numpy.random.Generator
            Draws the conductances.

        Returns
        -------
        theta : ndarray of shape (6,)
            Flat parameters.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.simulators import HodgkinHuxley
        >>> theta = HodgkinHuxley().initial_params(np.zeros((1, 8)), np.random.default_rng(0))
        >>> np.exp(theta[3:]).round(6)
        array([0.4, 0.4, 0.4])
        """
        return self.pack(means=0.1 * rng.standard_normal(len(CONDUCTANCES)), log_scales=np.log(SCALE))

    def project(self, theta: NDArray) -> NDArray:
        """Return the parameters with scales between 0.05 and 1.

        Parameters
        ----------
        theta : ndarray of shape (6,)
            Any parameters.

        Returns
        -------
        theta : ndarray of shape (6,)
            Parameters within bounds.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.simulators import HodgkinHuxley
        >>> np.exp(HodgkinHuxley().project(np.array([0.0, 0.0, 0.0, -9.0, -1.0, 9.0]))[3:]).round(4)
        array([0.05  , 0.3679, 1.    ])
        """
        return self._clipped(theta, log_scales=np.log(SCALE_BOUNDS))

    def sample(self, theta: NDArray, n: int, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
        """Return ``n`` neurons.

        Parameters
        ----------
        theta : ndarray of shape (6,)
            Flat parameters.
        n : int
            Number of neurons.
        rng : numpy.random.Generator
            The only source of random numbers.

        Returns
        -------
        z : ndarray of shape (n, 3)
            Logarithms of their conductances, in units of the squid's.
        x : ndarray of shape (n, 8)
            Summaries of their potentials.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.simulators import HodgkinHuxley
        >>> z, x = HodgkinHuxley().sample(np.zeros(6), 2, np.random.default_rng(0))
        >>> z.shape, x.shape
        ((2, 3), (2, 8))
        """
        means, scales = theta[:3], np.exp(theta[3:])
        z = means + scales * rng.standard_normal((n, len(means)))
        return z, self.summarize(self.simulate(z, rng))

    def grad_log_joint(self, theta: NDArray, z: NDArray, x: NDArray, weights: NDArray) -> NDArray:
        """Return the weighted sum of scores, to which the prior alone contributes.

        Parameters
        ----------
        theta : ndarray of shape (6,)
            Flat parameters.
        z : ndarray of shape (n, 3)
            Latents.
        x : ndarray of shape (n, 8)
            Not used.
        weights : ndarray of shape (n,)
            Real numbers, of either sign.

        Returns
        -------
        gradient : ndarray of shape (6,)
            In nats per unit of each parameter.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.simulators import HodgkinHuxley
        >>> HodgkinHuxley().grad_log_joint(np.zeros(6), np.ones((1, 3)), np.zeros((1, 8)), np.ones(1))
        array([1., 1., 1., 0., 0., 0.])
        """
        scales = np.exp(theta[3:])
        standard = (z - theta[:3]) / scales
        return self.pack(means=weights @ standard / scales, log_scales=weights @ (standard**2 - 1))

    def log_joint(self, theta: NDArray, z: NDArray, x: NDArray) -> NDArray:
        """Return ``log p(z[n], x[n])`` up to a term that is free of the parameters.

        Parameters
        ----------
        theta : ndarray of shape (6,)
            Flat parameters.
        z : ndarray of shape (n, 3)
            Latents.
        x : ndarray of shape (n, 8)
            Not used.

        Returns
        -------
        log_prob : ndarray of shape (n,)
            Log-density of the latents, in nats.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.simulators import HodgkinHuxley
        >>> HodgkinHuxley().log_joint(np.zeros(6), np.zeros((1, 3)), np.zeros((1, 8))).round(4)
        array([-2.7568])
        """
        return normal_log_prob(z, theta[:3], theta[3:])

    def latent_function(self, z: NDArray) -> NDArray:
        """Return the latents themselves.

        Parameters
        ----------
        z : ndarray of shape (n, 3)
            Logarithms of conductances, in units of the squid's.

        Returns
        -------
        features : ndarray of shape (n, 3)
            The same.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.simulators import HodgkinHuxley
        >>> HodgkinHuxley().latent_function(np.zeros((1, 3)))
        array([[0., 0., 0.]])
        """
        return z

    # ------------------------------------------------------------------ the neuron

    def simulate(self, z: NDArray, rng: np.random.Generator) -> NDArray:
        """Simulate neurons.

        Parameters
        ----------
        z : ndarray of shape (n, 3)
            Logarithms of their conductances for sodium, potassium and leak, in units of the squid's.
        rng : numpy.random.Generator
            Draws the noisy current.

        Returns
        -------
        potentials : ndarray of shape (n, 1200)
            Membrane potentials at `times`, in mV.

        Examples
        --------
        The squid's own conductances, and the highest potential of a spike in mV:

        >>> import numpy as np
        >>> from skwakesleep.simulators import HodgkinHuxley
        >>> model = HodgkinHuxley()
        >>> potentials = model.simulate(np.zeros((1, 3)), np.random.default_rng(0))
        >>> bool(30 < potentials.max() < 50)
        True
        """
        times = self.times
        sodium, potassium, leak = (np.exp(z) * CONDUCTANCES).T
        current = np.where((times >= ONSET) & (times < OFFSET), self.current, 0.0)
        # White noise: its standard deviation over a step grows as the step shrinks.
        noise = self.noise / np.sqrt(TIME_STEP) * rng.standard_normal((len(times), len(z)))
        potential = np.full(len(z), REST)
        gates = [steady for steady, _ in _kinetics(potential)]
        potentials = np.empty((len(times), len(z)))
        for t in range(len(times)):
            gates = [
                steady + (gate - steady) * np.exp(-TIME_STEP * rate)
                for gate, (steady, rate) in zip(gates, _kinetics(potential), strict=True)
            ]
            m, h, n = gates
            channels = np.stack([sodium * m**3 * h, potassium * n**4, leak])
            total = channels.sum(axis=0)
            # Exponential Euler: exact for conductances that are constant during a step.
            steady = (REVERSALS @ channels + current[t] + noise[t]) / total
            potential = steady + (potential - steady) * np.exp(-TIME_STEP * total / CAPACITANCE)
            potentials[t] = potential
        return potentials.T

    def summarize(self, potentials: NDArray) -> NDArray:
        """Summarize potentials, see the notes of the class.

        Parameters
        ----------
        potentials : ndarray of shape (n, 1200)
            Membrane potentials at `times`, in mV.

        Returns
        -------
        summaries : ndarray of shape (n, 8)
            Each in units in which it varies by about one.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.simulators import HodgkinHuxley
        >>> model = HodgkinHuxley()
        >>> potentials = model.simulate(np.zeros((1, 3)), np.random.default_rng(0))
        >>> model.summarize(potentials).shape
        (1, 8)
        """
        times = self.times
        before = potentials[:, (times >= ONSET / 2) & (times < ONSET)]
        during = potentials[:, (times >= ONSET) & (times < OFFSET)]
        after = potentials[:, times >= OFFSET + 5]
        crossings = (during[:, 1:] > SPIKE_THRESHOLD) & (during[:, :-1] <= SPIKE_THRESHOLD)
        n_spikes = crossings.sum(axis=1)
        first = np.where(n_spikes > 0, crossings.argmax(axis=1) + 1, during.shape[1]) * TIME_STEP
        summaries = [
            np.median(before, axis=1) - REST,
            during.mean(axis=1) - REST,
            during.std(axis=1),
            during.max(axis=1),
            during.min(axis=1) - REST,
            np.log1p(n_spikes),
            np.log(first),
            after.mean(axis=1) - REST,
        ]
        return np.stack(summaries, axis=1) / SUMMARY_UNITS


def _kinetics(potential: NDArray) -> list[tuple[NDArray, NDArray]]:
    """Return the steady state and the rate (per ms) of the gates m, h and n at a potential in mV."""
    v = potential - REST
    # exprel(u) = (exp(u) - 1) / u has the limit 1 at zero, where the published fractions are 0 / 0.
    opening_and_closing = (
        (1 / exprel((25 - v) / 10), 4 * np.exp(-v / 18)),
        (0.07 * np.exp(-v / 20), expit((v - 30) / 10)),
        (0.1 / exprel((10 - v) / 10), 0.125 * np.exp(-v / 80)),
    )
    return [(opening / (opening + closing), opening + closing) for opening, closing in opening_and_closing]
