"""A multilayer perceptron with hand-written reverse mode, for models that decode their latents with one."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Views = dict[str, NDArray]


class Perceptron:
    """Affine maps with `tanh` between them.

    It holds no parameters: these are arguments, named ``weights_0``, ``intercept_0`` and so on from the input.

    Parameters
    ----------
    sizes : sequence of int
        Widths, input first; at least two.
    """

    def __init__(self, *sizes: int) -> None:
        self.sizes = sizes
        self.n_layers = len(sizes) - 1

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the parameters, by name."""
        shapes: dict[str, tuple[int, ...]] = {}
        for layer, (n_in, n_out) in enumerate(pairwise(self.sizes)):
            shapes[f"weights_{layer}"] = (n_in, n_out)
            shapes[f"intercept_{layer}"] = (n_out,)
        return shapes

    def initial(self, rng: np.random.Generator) -> Views:
        """Return weights that keep the variance from layer to layer, and zero intercepts."""
        return {
            name: rng.standard_normal(shape) / np.sqrt(shape[0]) if len(shape) == 2 else np.zeros(shape)
            for name, shape in self.shapes().items()
        }

    def forward(self, parameters: Views, inputs: NDArray) -> tuple[NDArray, list[NDArray]]:
        """Return the outputs ``(n, sizes[-1])``, and the inputs of each layer, for `vjp`."""
        tape = []
        for layer in range(self.n_layers):
            tape.append(inputs)
            outputs = inputs @ parameters[f"weights_{layer}"] + parameters[f"intercept_{layer}"]
            inputs = np.tanh(outputs)
        return outputs, tape

    def vjp(self, parameters: Views, tape: list[NDArray], cotangent: NDArray) -> Iterator[tuple[str, NDArray]]:
        """Yield the gradient of ``sum(cotangent * outputs)`` with respect to each parameter, by name."""
        for layer in reversed(range(self.n_layers)):
            yield f"weights_{layer}", tape[layer].T @ cotangent
            yield f"intercept_{layer}", cotangent.sum(axis=0)
            if layer:
                cotangent = (cotangent @ parameters[f"weights_{layer}"].T) * (1 - tape[layer] ** 2)
