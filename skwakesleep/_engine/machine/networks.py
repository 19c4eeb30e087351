"""Chains of layers, and the machine made of two of them."""

from collections.abc import Collection, Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from skwakesleep._engine.arrays.random import Noise
from skwakesleep._engine.arrays.workspace import Workspace, allocated
from skwakesleep._engine.machine.families import Bernoulli, Family
from skwakesleep._engine.machine.layers import Activation, Layer
from skwakesleep._engine.training.layout import ParameterLayout, Views

# How fast units that have causes learn from each other: if as fast as from the causes, they would leave these little to
# explain, and learn by heart.
LATERAL_PACE = 0.03
# Far more than can be trained, so that a damaged file does not make layers without end.
MAX_LAYERS = 1000


class Trace(NamedTuple):
    """The activations of a network's layers, in the order of the chain."""

    activations: list[Activation]

    @property
    def states(self) -> list[NDArray]:
        """The units of each layer."""
        return [activation.target for activation in self.activations]

    @property
    def log_prob(self) -> NDArray:
        """Log-probability of all states together, in nats."""
        first, *rest = self.activations
        return sum((activation.log_prob for activation in rest), start=first.log_prob)


class BeliefNetwork:
    """A directed chain of layers, each the parent of the next.

    The generative network is the chain prior, hidden layers downwards, visible layer, and has no root; the
    recognition network is the chain of hidden layers upwards and has the visible units for its root. Everything
    else about the two is the same.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        self.layers = list(layers)

    def draw(
        self,
        theta: Sequence[Views],
        root: NDArray | None,
        shape: tuple[int, ...],
        noise: Noise,
        workspace: Workspace,
    ) -> Trace:
        """Draw the states of all layers, of leading shape `shape`, and evaluate them."""
        activations: list[Activation] = []
        parent = root
        for layer, parameters in zip(self.layers, theta, strict=True):
            activations.append(layer.draw(parameters, parent, shape, noise, workspace))
            parent = activations[-1].target
        return Trace(activations)

    def sample(
        self,
        theta: Sequence[Views],
        root: NDArray | None,
        shape: tuple[int, ...],
        noise: Noise,
        workspace: Workspace,
    ) -> list[NDArray]:
        """Draw the states of all layers without evaluating them."""
        states: list[NDArray] = []
        parent = root
        for layer, parameters in zip(self.layers, theta, strict=True):
            states.append(layer.sample(parameters, parent, shape, noise, workspace))
            parent = states[-1]
        return states

    def evaluate(
        self, theta: Sequence[Views], root: NDArray | None, states: Sequence[NDArray], workspace: Workspace
    ) -> Trace:
        """Evaluate given states."""
        parents = [root, *states[:-1]]
        return Trace(
            [
                layer.evaluate(parameters, parent, state, workspace)
                for layer, parameters, parent, state in zip(self.layers, theta, parents, states, strict=True)
            ]
        )

    def log_prob(
        self, theta: Sequence[Views], root: NDArray | None, states: Sequence[NDArray], workspace: Workspace
    ) -> NDArray:
        """Return the log-probability of given states in nats, without what a gradient would need."""
        parents = [root, *states[:-1]]
        terms = [
            layer.log_prob(parameters, parent, state, workspace)
            for layer, parameters, parent, state in zip(self.layers, theta, parents, states, strict=True)
        ]
        return sum(terms[1:], start=terms[0])

    def gradient(
        self,
        theta: Sequence[Views],
        trace: Trace,
        weights: NDArray,
        grad: Sequence[Views],
        workspace: Workspace,
    ) -> None:
        """Write the gradient of ``sum(weights * log_prob)``; no derivative passes from layer to layer."""
        for layer, parameters, activation, views in zip(self.layers, theta, trace.activations, grad, strict=True):
            layer.gradient(parameters, activation, weights, views, workspace)

    def means(self, theta: Sequence[Views], root: NDArray, workspace: Workspace, first: int = 0) -> NDArray:
        """Pass means from `root` through the chain from layer `first` on, and return the last layer's."""
        values = root
        for layer, parameters in zip(self.layers[first:], theta[first:], strict=True):
            values = layer.mean(parameters, values, workspace)
        return values


class Parameters(NamedTuple):
    """Views of a flat parameter vector, for each layer of the two chains in chain order."""

    generative: list[Views]
    recognition: list[Views]


class Machine:
    """A Helmholtz machine: a generative and a recognition network over the same units.

    Parameters
    ----------
    visible : Family
        Family of the visible units.
    sizes : sequence of int
        Widths, visible layer first: ``(n_0, n_1, ..., n_L)``.
    n_active : float
        Mean squared norm of a visible row; for binary data the mean number of ones.
    autoregressive : collection of str, default=()
        Which layers are: "prior", "visible", "hidden" (the generative layers between them), "recognition".
    """

    def __init__(
        self, visible: Family, sizes: Sequence[int], n_active: float, autoregressive: Collection[str] = ()
    ) -> None:
        if not 2 <= len(sizes) <= 1 + MAX_LAYERS or min(sizes) < 1:
            raise ValueError(
                f"hidden_layer_sizes must have 1 to {MAX_LAYERS} layers of 1 unit or more. Got {len(sizes) - 1} "
                f"layers, the smallest of {min(sizes, default=0)} units."
            )
        self.sizes = tuple(sizes)
        self.autoregressive = frozenset(autoregressive)
        self.visible = visible
        families = [visible] + [Bernoulli()] * (len(self.sizes) - 1)
        depths = range(len(self.sizes) - 1)
        prior = Layer("prior", Bernoulli(), 0, self.sizes[-1], autoregressive="prior" in autoregressive)
        downward = [
            Layer(
                f"generative.{depth}",
                families[depth],
                self.sizes[depth + 1],
                self.sizes[depth],
                autoregressive=("hidden" if depth else "visible") in autoregressive,
            )
            for depth in reversed(depths)
        ]
        upward = [
            Layer(
                f"recognition.{depth}",
                families[depth + 1],
                self.sizes[depth],
                self.sizes[depth + 1],
                autoregressive="recognition" in autoregressive,
            )
            for depth in depths
        ]
        self._n_active = n_active
        self.generative = BeliefNetwork([prior, *downward])
        self.recognition = BeliefNetwork(upward)
        self.layout = ParameterLayout({layer.name: layer.shapes() for layer in self.layers})

    def __getstate__(self) -> dict[str, Any]:
        """Return the arguments that make this machine: its layers hold no numbers, and need not be saved."""
        return {
            "visible": self.visible,
            "sizes": self.sizes,
            "n_active": self._n_active,
            "autoregressive": sorted(self.autoregressive),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        Machine.__init__(self, **state)

    def with_visible(self, visible: Family) -> "Machine":
        """Return the same machine with another family of the same shape for the columns."""
        return Machine(**{**self.__getstate__(), "visible": visible})

    @property
    def layers(self) -> list[Layer]:
        """The layers of both networks, in chain order."""
        return [*self.generative.layers, *self.recognition.layers]

    @property
    def n_latents(self) -> int:
        """Number of hidden units in all layers."""
        return sum(self.sizes[1:])

    @property
    def largest_matrix(self) -> int:
        """Number of weights in the largest matrix of a layer."""
        return max(prod(shape) for layer in self.layers for shape in layer.shapes().values())

    def bind(self, flat: NDArray) -> Parameters:
        """Return the views of a flat parameter vector."""
        views = self.layout.bind(flat)
        return Parameters(
            [views[layer.name] for layer in self.generative.layers],
            [views[layer.name] for layer in self.recognition.layers],
        )

    def check(self) -> None:
        """Raise ValueError unless the visible family takes rows of as many columns as the machine has."""
        n_columns = self.sizes[0]
        try:
            with np.errstate(all="ignore"):
                encoded = self.visible.encode(np.zeros((1, n_columns)))
        except ValueError as error:
            raise ValueError(f"the visible family is not one of {n_columns} columns") from error
        if not np.isfinite([self.visible.log_volume, *encoded.flat]).all():
            raise ValueError("the visible columns have no finite location and scale")

    def recognition_part(self, flat: NDArray) -> NDArray:
        """Return the view of a flat parameter vector that holds the recognition network, which is laid out last."""
        return flat[flat.size - sum(views.size for layer in self.bind(flat).recognition for views in layer.values()) :]

    def initial_parameters(self, visible_means: NDArray, generator: np.random.Generator, dtype: np.dtype) -> NDArray:
        """Return a flat vector: random weights, rarely active hidden units, and the visible means reproduced.

        The odds of a hidden unit are one to the root of their number: sparse causes are told apart sooner than dense
        ones, and what many active units do at first is noise, for which they would be silenced, once and for all.
        """
        flat = allocated((self.layout.size,), dtype, "hidden_layer_sizes")
        for views in self.layout.bind(flat).values():
            if "weights" in views:
                views["weights"][...] = _glorot_weights(views["weights"].shape, generator)
            if "triangle" in views:
                views["triangle"][...] = 0
            views["intercept"][...] = -0.5 * np.log(len(views["intercept"]))
        for name, values in self.visible.initial(visible_means).items():
            self.bind(flat).generative[-1][name][...] = values
        return flat

    def step_scales(self, dtype: DTypeLike) -> NDArray:
        """Return, for each parameter, the step size that moves a unit's natural parameter by about one.

        Adam moves all weights of a unit alike, so a common step size would move a unit with many active parents
        further than one with few: weights take steps of one over the root of their number. The intercept is the weight
        of a parent that is always active. A prior takes the steps of units that see each other, whether or not they
        do: a faster one follows units into silence. Units that have causes hear each other `LATERAL_PACE` times as
        fast.
        """
        flat = np.ones(self.layout.size, dtype)
        for group, views in self.layout.bind(flat).items():
            views["intercept"][...] = 1 / np.sqrt(len(views["intercept"]))
            for name, seen in (("triangle", "generative.0"), ("weights", "recognition.0")):
                if name in views:
                    n_active = self._n_active if group == seen else len(views[name])
                    views[name][...] = views["intercept"][...] = 1 / np.sqrt(max(1.0, n_active))
            if views.keys() >= {"triangle", "weights"}:
                views["triangle"][...] *= LATERAL_PACE
        return flat


def _glorot_weights(shape: tuple[int, ...], generator: np.random.Generator) -> NDArray:
    """Uniform weights in the range of Glorot & Bengio (2010)."""
    bound = np.sqrt(6.0 / sum(shape))
    return generator.uniform(-bound, bound, shape)
