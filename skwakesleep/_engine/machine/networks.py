"""The two networks of a Helmholtz machine."""

from collections.abc import Collection, Iterator, Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from skwakesleep._engine.arrays.numpy_backend import NumpyBackend
from skwakesleep._engine.arrays.random import Noise
from skwakesleep._engine.arrays.workspace import allocated
from skwakesleep._engine.machine.columns import Columns
from skwakesleep._engine.machine.families import Bernoulli
from skwakesleep._engine.machine.layers import Activation, BoundLayer, Layer, Units
from skwakesleep._engine.training.layout import ParameterLayout, Views

# More layers than can be trained: a damaged file must not create them without end.
MAX_LAYERS = 1000


class Trace(NamedTuple):
    """The activations of the layers of a network, in order."""

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
    """A chain of layers with their parameters, each the parent of the next.

    The generative network is the prior, the hidden layers downwards and the visible layer; it has no root. The
    recognition network is the hidden layers upwards; its root is the visible units. States are lists of arrays
    ``(B, K, N)``, one for each layer.
    """

    def __init__(self, layers: Sequence[BoundLayer]) -> None:
        self.layers = list(layers)

    def draw(self, root: NDArray | None, shape: tuple[int, ...], noise: Noise) -> Trace:
        """Draw the states of all layers, of leading shape `shape`, and evaluate them."""
        activations: list[Activation] = []
        parent = root
        for layer in self.layers:
            activations.append(layer.draw(parent, shape, noise))
            parent = activations[-1].target
        return Trace(activations)

    def sample(self, root: NDArray | None, shape: tuple[int, ...], noise: Noise) -> list[NDArray]:
        """Draw the states of all layers without evaluating them."""
        states: list[NDArray] = []
        parent = root
        for layer in self.layers:
            states.append(layer.sample(parent, shape, noise))
            parent = states[-1]
        return states

    def evaluate(self, root: NDArray | None, states: Sequence[NDArray], missing: NDArray | None = None) -> Trace:
        """Evaluate given states; units of the last layer may be missing."""
        return Trace([layer.evaluate(*link) for layer, *link in self._links(root, states, missing)])

    def log_prob(self, root: NDArray | None, states: Sequence[NDArray], missing: NDArray | None = None) -> NDArray:
        """Return the log-probability of given states, ``(B, K)``, in nats; units of the last layer may be missing."""
        terms = [layer.log_prob(*link) for layer, *link in self._links(root, states, missing)]
        return sum(terms[1:], start=terms[0])

    def _links(
        self, root: NDArray | None, states: Sequence[NDArray], missing: NDArray | None
    ) -> Iterator[tuple[Any, ...]]:
        """Yield each layer with its parents, its units, and which of them are missing."""
        masks: list[NDArray | None] = [None for _ in states]
        masks[-1] = missing
        return zip(self.layers, [root, *states[:-1]], states, masks, strict=True)

    def add_log_odds(
        self,
        root: NDArray | None,
        states: Sequence[NDArray],
        log_odds: Sequence[NDArray | None],
        missing: NDArray | None = None,
    ) -> NDArray:
        """Return the log-probability of given states, ``(B, K)``, and add the log-odds of their units in place.

        The log-odds are those that a unit is active if all others stay as they are, to second order; None is not
        computed. Units of the last layer may be missing.
        """
        links = zip(self._links(root, states, missing), [None, *log_odds[:-1]], log_odds, strict=True)
        terms = [
            layer.add_log_odds(parent, state, above, own, absent)
            for (layer, parent, state, absent), above, own in links
        ]
        return sum(terms[1:], start=terms[0])

    def gradient(self, trace: Trace, particle_weights: NDArray, grad: Sequence[Views]) -> None:
        """Write the gradient of ``sum(particle_weights * log_prob)``; no derivative passes from layer to layer."""
        for layer, activation, views in zip(self.layers, trace.activations, grad, strict=True):
            layer.gradient(activation, particle_weights, views)

    def means(self, root: NDArray, first: int = 0) -> NDArray:
        """Pass means from `root` through the network from layer `first` on, and return those of the last layer."""
        values = root
        for layer in self.layers[first:]:
            values = layer.mean(values)
        return values

    def natural(self, root: NDArray) -> NDArray:
        """Pass means from `root` through the network; return the natural parameters of the last layer.

        They are in an array that the next call overwrites.
        """
        values = root
        for layer in self.layers[:-1]:
            values = layer.mean(values)
        return self.layers[-1].expected_natural(values)


class Networks(NamedTuple):
    """Both networks of a machine with their parameters."""

    generative: BeliefNetwork
    recognition: BeliefNetwork


class MachineViews(NamedTuple):
    """Views of a flat parameter vector for each layer of both networks, in the order of the networks."""

    generative: list[Views]
    recognition: list[Views]


class Machine:
    """A Helmholtz machine: a generative and a recognition network over the same units.

    Parameters
    ----------
    columns : Columns
        The visible units.
    hidden_sizes : sequence of int
        Number of binary units in each hidden layer, the layer nearest the data first.
    autoregressive : collection of str, default=()
        Autoregressive layers: "prior", "visible", "hidden" (the generative layers between them), "recognition".
    """

    def __init__(self, columns: Columns, hidden_sizes: Sequence[int], autoregressive: Collection[str] = ()) -> None:
        if not 1 <= len(hidden_sizes) <= MAX_LAYERS or min(hidden_sizes) < 1:
            raise ValueError(
                f"hidden_layer_sizes must have 1 to {MAX_LAYERS} layers of 1 unit or more. Got {len(hidden_sizes)} "
                f"layers, the smallest of {min(hidden_sizes, default=0)} units."
            )
        self.columns = columns
        self.hidden_sizes = tuple(hidden_sizes)
        self.autoregressive = frozenset(autoregressive)
        visible = Units(columns, columns.n_units, columns.means, columns.n_active)
        seen = visible._replace(size=columns.n_units + len(columns.with_holes))
        units = [visible, *map(_hidden_units, hidden_sizes)]
        depths = range(len(hidden_sizes))
        prior = Layer("prior", units[-1], autoregressive="prior" in autoregressive)
        downward = [
            Layer(
                f"generative.{depth}",
                units[depth],
                units[depth + 1],
                autoregressive=("hidden" if depth else "visible") in autoregressive,
            )
            for depth in reversed(depths)
        ]
        upward = [
            Layer(
                f"recognition.{depth}",
                units[depth + 1],
                units[depth] if depth else seen,
                autoregressive="recognition" in autoregressive,
            )
            for depth in depths
        ]
        self.generative_layers = [prior, *downward]
        self.recognition_layers = upward
        self.layout = ParameterLayout({layer.name: layer.shapes() for layer in self.layers})

    def __getstate__(self) -> dict[str, Any]:
        """Return the arguments that make this machine: its layers hold no numbers."""
        return {
            "columns": self.columns,
            "hidden_sizes": self.hidden_sizes,
            "autoregressive": sorted(self.autoregressive),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        Machine.__init__(self, **state)

    def with_columns(self, columns: Columns) -> "Machine":
        """Return the same machine with other units for its columns."""
        return Machine(columns, self.hidden_sizes, self.autoregressive)

    @property
    def layers(self) -> list[Layer]:
        """The layers of both networks, in order."""
        return [*self.generative_layers, *self.recognition_layers]

    @property
    def n_units(self) -> int:
        """Number of units in all layers."""
        return self.columns.n_units + self.n_latents

    @property
    def n_latents(self) -> int:
        """Number of hidden units in all layers."""
        return sum(self.hidden_sizes)

    @property
    def largest_matrix(self) -> int:
        """Number of weights in the largest matrix of a layer."""
        return max(prod(shape) for layer in self.layers for shape in layer.shapes().values())

    def views(self, flat: NDArray) -> MachineViews:
        """Return the views of a flat parameter vector."""
        by_name = self.layout.views(flat)
        return MachineViews(
            [by_name[layer.name] for layer in self.generative_layers],
            [by_name[layer.name] for layer in self.recognition_layers],
        )

    def bind(self, flat: NDArray, backend: NumpyBackend) -> Networks:
        """Return both networks with views of a flat parameter vector and a backend that computes."""
        by_name = self.layout.views(flat)

        def bound(layers: list[Layer]) -> BeliefNetwork:
            return BeliefNetwork([layer.bind(by_name[layer.name], backend) for layer in layers])

        return Networks(bound(self.generative_layers), bound(self.recognition_layers))

    def recognition_part(self, flat: NDArray) -> NDArray:
        """Return the view of a flat parameter vector that holds the recognition network, which is laid out last."""
        return flat[flat.size - sum(views.size for layer in self.views(flat).recognition for views in layer.values()) :]

    def initial_parameters(self, generator: np.random.Generator, dtype: np.dtype) -> NDArray:
        """Return the flat parameters of an untrained machine."""
        flat = allocated((self.layout.size,), dtype, "hidden_layer_sizes")
        views = self.layout.views(flat)
        for layer in self.layers:
            for name, values in layer.initial(generator).items():
                views[layer.name][name][...] = values
        return flat

    def step_scales(self, dtype: DTypeLike) -> NDArray:
        """Return the factors of the step size, one for each parameter; see `Layer.step_scales`."""
        flat = np.ones(self.layout.size, dtype)
        views = self.layout.views(flat)
        for layer in self.layers:
            for name, scale in layer.step_scales().items():
                if name in views[layer.name]:
                    views[layer.name][name][...] = scale
        return flat


def _hidden_units(n_units: int) -> Units:
    """Return binary units that are rarely active before training: the odds of each are one to the root of their number.

    Sparse causes are separated sooner than dense ones. Many active units are noise at first, and would be silenced for
    good.
    """
    return Units(Bernoulli(), n_units, 1 / (1 + np.sqrt(n_units)), float(n_units))
