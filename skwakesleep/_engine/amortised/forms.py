"""Forms of the gradient of the log-likelihood, computed from dreams."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from skwakesleep._engine.amortised.dreams import Pairs, Simulation, importance_weights, select, systematic_resample
from skwakesleep._engine.amortised.optional_methods import EXPONENTIAL_FAMILY, offers
from skwakesleep._engine.amortised.regression import N_TUNING_PAIRS

# Dreams drawn for each row of data, where importance weights cannot be contracted analytically.
N_RESAMPLED = 10

# Maps values (M, C) of the some rows to sum_m A[:, m] values[m] (N, C), with the weights A (N, M) that predict
# functions of the N dreams at the rows.
Contraction = Callable[[NDArray], NDArray]


class Rows(NamedTuple):
    """Rows of data, and of fresh dreams to contrast them with.

    Attributes
    ----------
    x : ndarray of shape (M, D)
        The rows.
    weights : ndarray of shape (M,)
        Weight of the score of each row in the gradient.
    """

    x: NDArray
    weights: NDArray

    @classmethod
    def contrast(cls, batch: NDArray, fresh: NDArray) -> "Rows":
        """Return rows whose weighted sum is the mean over a batch, minus that over fresh dreams if there are any.

        The mean score of a model's own observations is zero, so that only the bias of its estimate is subtracted.
        """
        weights = [np.full(len(x), sign / max(len(x), 1)) for sign, x in ((1, batch), (-1, fresh))]
        return cls(np.concatenate([batch, fresh]), np.concatenate(weights))


class Form:
    """A way to compute the weighted sum of the gradients of the log-likelihood of rows from dreams.

    Parameters
    ----------
    simulation : Simulation
        Simulates the dreams.

    Attributes
    ----------
    name : str
        The value of the parameter `gradient` that asks for this form.
    needs : tuple of str
        Methods that it needs of the model, unless the simulation is of local factors, which has its own.
    """

    name: str
    needs: tuple[str, ...]

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._model = simulation.model

    def targets(self, theta: NDArray, pairs: Pairs) -> list[NDArray]:
        """Return groups ``(n, T)`` of targets to tune the regression to, for all pairs or the first ones.

        Each group counts the same. A form without a regression has none.
        """
        return []

    def contrast(self, batch: NDArray, fresh: NDArray) -> Rows:
        """Return the rows of a batch, contrasted with fresh dreams if there are any."""
        return Rows.contrast(batch, fresh)

    def __call__(self, theta: NDArray, dreams: Pairs, rows: Rows, contract: Contraction, rng: Generator) -> NDArray:
        """Return the gradient, ``(P,)``."""
        raise NotImplementedError


class Direct(Form):
    """Regress the scores themselves, which is possible for every model.

    The regression's weights are summed over the rows, so that one weighted sum of scores is enough.
    """

    name = "direct"
    needs = ("grad_log_joint",)

    def targets(self, theta: NDArray, pairs: Pairs) -> list[NDArray]:
        return [self._simulation.scores(theta, pairs.head(N_TUNING_PAIRS))]  # each may cost a call of the model

    def __call__(self, theta: NDArray, dreams: Pairs, rows: Rows, contract: Contraction, rng: Generator) -> NDArray:
        weights = contract(rows.weights[:, np.newaxis])
        return self._simulation.score(theta, dreams.z, dreams.x, weights[:, 0])


class Exponential(Form):
    """Regress natural parameters, and combine them with the sufficient statistics of the data.

    The log joint is ``eta(z) . s(x) - psi(z)``. Only functions of the latents are predicted, which is more accurate.
    """

    name = "exponential"
    needs = EXPONENTIAL_FAMILY

    def targets(self, theta: NDArray, pairs: Pairs) -> list[NDArray]:
        eta, psi = self._model.natural_parameters(theta, pairs.z)
        return [eta, psi[:, np.newaxis]]

    def __call__(self, theta: NDArray, dreams: Pairs, rows: Rows, contract: Contraction, rng: Generator) -> NDArray:
        # The gradient of sum_nm A_nm w_m (eta(z_n) . s(x_m) - psi(z_n)) needs the sums of A over the rows only. With
        # s(x) = 1 and the statistics side by side, one product gives those for psi and for eta.
        statistics = self._model.sufficient_statistics(rows.x)
        cotangents = contract(np.column_stack([np.ones(len(rows.x)), statistics]) * rows.weights[:, np.newaxis])
        return self._model.natural_vjp(theta, dreams.z, cotangents[:, 1:], -cotangents[:, 0])


class ImportanceWeighted(Form):
    """Weight the dreamed latents by how well they explain each row of data.

    With many effective dreams for each row it is more accurate than a regression, and faster. With few it is useless.
    """

    name = "importance"
    needs = ("log_prob_x_given_z",)

    def contrast(self, batch: NDArray, fresh: NDArray) -> Rows:
        # The time of a step is that of the densities of all rows. Few fresh dreams suffice, since its noise is low.
        return Rows.contrast(batch, fresh[: len(batch) // 2])

    def __call__(self, theta: NDArray, dreams: Pairs, rows: Rows, contract: Contraction, rng: Generator) -> NDArray:
        weights = importance_weights(self._model.log_prob_x_given_z(theta, dreams.z, rows.x))
        # For an exponential family the sum over all N x M pairs is a product of matrices. Otherwise it is estimated
        # from some pairs, drawn by their weights.
        if hasattr(self._model, "natural_vjp"):
            statistics = weights @ (self._model.sufficient_statistics(rows.x) * rows.weights[:, np.newaxis])
            return self._model.natural_vjp(theta, dreams.z, statistics, -weights @ rows.weights)
        chosen = systematic_resample(weights, N_RESAMPLED, rng)
        z, x = select(dreams.z, chosen.ravel()), np.repeat(rows.x, N_RESAMPLED, axis=0)
        return self._model.grad_log_joint(theta, z, x, np.repeat(rows.weights, N_RESAMPLED) / N_RESAMPLED)


class Exact(Form):
    """The model's own gradient of its log-likelihood, without dreams."""

    name = "exact"
    needs = ("grad_log_likelihood",)

    def contrast(self, batch: NDArray, fresh: NDArray) -> Rows:
        return Rows.contrast(batch, fresh[:0])  # there is no bias to subtract

    def __call__(self, theta: NDArray, dreams: Pairs, rows: Rows, contract: Contraction, rng: Generator) -> NDArray:
        return self._model.grad_log_likelihood(theta, rows.x)


FORMS: dict[str, type[Form]] = {form.name: form for form in (Direct, Exponential, ImportanceWeighted, Exact)}


class Forms(NamedTuple):
    """The forms of the gradient that a training chooses from.

    Attributes
    ----------
    usual : Form
        In use until many dreams are effective.
    weighted : Form
        In use while many dreams are effective; the usual form if there is no choice.
    """

    usual: Form
    weighted: Form


def asked_forms(gradient: str, simulation: Simulation) -> Forms:
    """Return the forms that a value of the parameter `gradient` asks for."""
    if gradient != "auto":
        usual = FORMS[gradient](simulation)
    elif simulation.local or not offers(simulation.model, Exponential.needs):
        usual = Direct(simulation)
    else:
        usual = Exponential(simulation)
    choice = gradient == "auto" and simulation.log_prob_x_given_z is not None
    return Forms(usual, ImportanceWeighted(simulation) if choice else usual)
