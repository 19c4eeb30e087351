"""A second implementation of the Helmholtz machine, with which tests compare the package.

It shares no code with the package. All joint states of the hidden layers are listed in float64, and expectations are
sums over this list. Gradients are central differences of enumerated quantities, so that no formula of the learning
rule is assumed.
"""

from collections.abc import Callable
from copy import deepcopy
from itertools import pairwise, product
from typing import NamedTuple

import numpy as np
from scipy.special import log_expit, logsumexp
from scipy.stats import chi2


class Model(NamedTuple):
    """The parameters of a machine, bottom up, under the names of the estimator's fitted attributes."""

    prior_intercept: np.ndarray
    generative_coefs: list[np.ndarray]
    generative_intercepts: list[np.ndarray]
    recognition_coefs: list[np.ndarray]
    recognition_intercepts: list[np.ndarray]
    log_variance: np.ndarray | None = None  # Gaussian visible units; Bernoulli ones have none
    variance_floor: float = 0.0

    @property
    def sizes(self) -> list[int]:
        """Widths, visible layer first."""
        return [len(self.generative_intercepts[0]), *(len(intercept) for intercept in self.recognition_intercepts)]

    @property
    def variance(self) -> np.ndarray:
        return np.exp(self.log_variance) + self.variance_floor

    @property
    def generative(self) -> list[np.ndarray]:
        """Every array of the generative network."""
        extra = [] if self.log_variance is None else [self.log_variance]
        return [self.prior_intercept, *self.generative_coefs, *self.generative_intercepts, *extra]

    @property
    def recognition(self) -> list[np.ndarray]:
        """Every array of the recognition network."""
        return [*self.recognition_coefs, *self.recognition_intercepts]


def random_model(sizes: list[int], seed: int, *, scale: float = 1.0, gaussian: bool = False) -> Model:
    """Return a machine with normal parameters; the sizes of its layers start with the visible one."""
    rng = np.random.default_rng(seed)
    pairs = list(pairwise(sizes))

    def normal(*shape):
        return scale * rng.standard_normal(shape)

    return Model(
        normal(sizes[-1]),
        [normal(above, below) for below, above in pairs],
        [normal(below) for below in sizes[:-1]],
        [normal(below, above) for below, above in pairs],
        [normal(above) for above in sizes[1:]],
        0.5 * normal(sizes[0]) if gaussian else None,
    )


def binary_states(n_units: int) -> np.ndarray:
    """List every binary vector, ``(2 ** n_units, n_units)``."""
    return np.array(list(product((0.0, 1.0), repeat=n_units)))


def hidden_states(model: Model) -> list[np.ndarray]:
    """List every joint state of the hidden layers: for each layer, bottom up, ``(n_states, n_units)``."""
    widths = model.sizes[1:]
    return np.split(binary_states(sum(widths)), np.cumsum(widths)[:-1], axis=1)


# ---------------------------------------------------------------------- probabilities


def log_bernoulli(target: np.ndarray, logits: np.ndarray) -> np.ndarray:
    return (target * log_expit(logits) + (1 - target) * log_expit(-logits)).sum(axis=-1)


def log_normal(x: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    return -0.5 * np.square((x - mean) / deviation) - np.log(deviation) - 0.5 * np.log(2 * np.pi)


def affine(parent: np.ndarray, coefs: np.ndarray, intercept: np.ndarray) -> np.ndarray:
    return np.einsum("si,ij->sj", parent, coefs) + intercept


def log_visible(model: Model, x: np.ndarray, natural: np.ndarray) -> np.ndarray:
    if model.log_variance is None:
        return log_bernoulli(x, natural)
    return log_normal(x, natural, np.sqrt(model.variance)).sum(axis=-1)


def log_causes(model: Model, hidden: list[np.ndarray]) -> np.ndarray:
    """Return ``log p(h)`` for each state of the hidden layers."""
    total = log_bernoulli(hidden[-1], model.prior_intercept)
    naturals = map(affine, hidden[1:], model.generative_coefs[1:], model.generative_intercepts[1:])
    for target, natural in zip(hidden, naturals, strict=False):
        total = total + log_bernoulli(target, natural)
    return total


def log_joint(model: Model, hidden: list[np.ndarray], x: np.ndarray) -> np.ndarray:
    """Return ``log p(h, x)`` for each state, with one row ``x`` for all states or one for each."""
    natural = affine(hidden[0], model.generative_coefs[0], model.generative_intercepts[0])
    return log_causes(model, hidden) + log_visible(model, x, natural)


def log_proposal(model: Model, hidden: list[np.ndarray], x: np.ndarray) -> np.ndarray:
    """Return ``log q(h | x)`` for each state, with one row ``x`` for all states or one for each."""
    parents = [np.broadcast_to(x, (len(hidden[0]), np.shape(x)[-1])), *hidden[:-1]]
    logits = map(affine, parents, model.recognition_coefs, model.recognition_intercepts)
    return sum(log_bernoulli(target, logit) for target, logit in zip(hidden, logits, strict=True))


def log_likelihood(model: Model, X: np.ndarray) -> np.ndarray:
    """Return ``log p(x)`` for each row."""
    hidden = hidden_states(model)
    return np.array([logsumexp(log_joint(model, hidden, x)) for x in X])


def posterior(model: Model, x: np.ndarray) -> np.ndarray:
    """Return ``p(h | x)`` for each hidden state."""
    log_p = log_joint(model, hidden_states(model), x)
    return np.exp(log_p - logsumexp(log_p))


def proposal(model: Model, x: np.ndarray) -> np.ndarray:
    """Return ``q(h | x)`` for each hidden state."""
    return np.exp(log_proposal(model, hidden_states(model), x))


def dreams(model: Model, n_nodes: int = 24) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """List all dreams: hidden states, visible rows and probabilities.

    Gaussian rows are the nodes of a Gauss-Hermite rule around the mean of each hidden state.
    """
    hidden = hidden_states(model)
    natural = affine(hidden[0], model.generative_coefs[0], model.generative_intercepts[0])[:, np.newaxis]
    n_visible = model.sizes[0]
    if model.log_variance is None:
        x = binary_states(n_visible)
        weights = np.exp(log_bernoulli(x, natural))
        x = np.broadcast_to(x, (*weights.shape, n_visible))
    else:
        nodes, node_weights = np.polynomial.hermite_e.hermegauss(n_nodes)
        x = natural + np.sqrt(model.variance) * np.array(list(product(nodes, repeat=n_visible)))
        weights = np.prod(list(product(node_weights / node_weights.sum(), repeat=n_visible)), axis=1)
    probabilities = np.exp(log_causes(model, hidden))[:, np.newaxis] * weights
    hidden = [np.repeat(states, probabilities.shape[1], axis=0) for states in hidden]
    return hidden, x.reshape(-1, n_visible), probabilities.ravel()


def sample(model: Model, n_rows: int, rng: np.random.Generator) -> tuple[list[np.ndarray], np.ndarray]:
    """Draw from the generative network: hidden states, bottom up, and visible rows."""
    state = (rng.random((n_rows, model.sizes[-1])) < np.exp(log_expit(model.prior_intercept))).astype(float)
    hidden = [state]
    for coefs, intercept in zip(model.generative_coefs[:0:-1], model.generative_intercepts[:0:-1], strict=True):
        logits = affine(hidden[0], coefs, intercept)
        hidden.insert(0, (rng.random(logits.shape) < np.exp(log_expit(logits))).astype(float))
    natural = affine(hidden[0], model.generative_coefs[0], model.generative_intercepts[0])
    if model.log_variance is None:
        return hidden, (rng.random(natural.shape) < np.exp(log_expit(natural))).astype(float)
    return hidden, natural + np.sqrt(model.variance) * rng.standard_normal(natural.shape)


# ---------------------------------------------------------------------- gradients


def differences(function: Callable[[Model], float], model: Model, step: float = 1e-5) -> Model:
    """Return the central differences of a function of a machine, in a model of the same shape."""
    model, slopes = deepcopy(model), deepcopy(model)
    arrays, results = ([*one.generative, *one.recognition] for one in (model, slopes))
    for array, result in zip(arrays, results, strict=True):
        for index in np.ndindex(array.shape):
            kept = array[index]
            array[index] = kept + step
            upper = function(model)
            array[index] = kept - step
            result[index] = (upper - function(model)) / (2 * step)
            array[index] = kept
    return slopes


def likelihood_gradient(model: Model, X: np.ndarray) -> Model:
    """Return the gradient of the mean of ``log p(x)``: the limit of weighted particles as their number grows."""
    return differences(lambda moved: log_likelihood(moved, X).mean(), model)


def wake_gradient(model: Model, X: np.ndarray) -> Model:
    """Return the gradient of the mean of ``E_q(h|x)[log p(x, h)]``: the wake phase of Hinton et al. (1995)."""
    hidden = hidden_states(model)
    weights = [(proposal(model, x) / len(X), x) for x in X]
    return differences(lambda moved: sum(q @ log_joint(moved, hidden, x) for q, x in weights), model)


def posterior_gradient(model: Model, X: np.ndarray) -> Model:
    """Return the gradient of the mean of ``E_p(h|x)[log q(h | x)]``: the limit of the wake-phase recognition update."""
    hidden = hidden_states(model)
    weights = [(posterior(model, x) / len(X), x) for x in X]
    return differences(lambda moved: sum(p @ log_proposal(moved, hidden, x) for p, x in weights), model)


def sleep_gradient(model: Model) -> Model:
    """Return the gradient of ``E_p(h, x)[log q(h | x)]``: the sleep phase."""
    hidden, x, probabilities = dreams(model)
    return differences(lambda moved: probabilities @ log_proposal(moved, hidden, x), model)


# ---------------------------------------------------------------------- statistics


def codes(states: np.ndarray) -> np.ndarray:
    """Number binary vectors in the order of `binary_states`."""
    return states.astype(int) @ (1 << np.arange(states.shape[-1])[::-1])


def frequency_p_value(observed: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the chi-square p-value of category numbers, categories expected less than five times pooled."""
    counts = np.bincount(observed, minlength=len(probabilities))
    expected = len(observed) * probabilities
    rare = expected < 5
    counts = np.append(counts[~rare], counts[rare].sum())
    expected = np.append(expected[~rare], expected[rare].sum())
    present = expected > 0
    assert not counts[~present].any(), "an impossible category was observed"
    counts, expected = counts[present], expected[present]
    return float(chi2.sf(((counts - expected) ** 2 / expected).sum(), len(counts) - 1))
