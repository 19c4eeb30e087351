"""A multilayer perceptron with hand-written reverse mode, for models that decode their latents with one."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Views = dict[str, NDArray]


class Perceptron(NamedTuple):
    """Two affine maps with `tanh` between them.

    It holds no parameters: these are arguments, named ``weights_0``, ``intercept_0``, ``weights_1`` and ``intercept_1``
    from the input.

    Attributes
    ----------
    n_inputs, n_hidden, n_outputs : int
        Widths.
    """

    n_inputs: int
    n_hidden: int
    n_outputs: int

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the parameters, by name."""
        return {
            "weights_0": (self.n_inputs, self.n_hidden),
            "intercept_0": (self.n_hidden,),
            "weights_1": (self.n_hidden, self.n_outputs),
            "intercept_1": (self.n_outputs,),
        }

    def initial(self, rng: np.random.Generator) -> Views:
        """Return weights that keep the variance from layer to layer, and zero intercepts."""
        return {
            name: rng.standard_normal(shape) / np.sqrt(shape[0]) if len(shape) == 2 else np.zeros(shape)
            for name, shape in self.shapes().items()
        }

    def forward(self, parameters: Views, inputs: NDArray) -> tuple[NDArray, NDArray]:
        """Return the outputs ``(n, n_outputs)`` and the hidden units ``(n, n_hidden)``."""
        hidden = np.tanh(inputs @ parameters["weights_0"] + parameters["intercept_0"])
        return hidden @ parameters["weights_1"] + parameters["intercept_1"], hidden

    def vjp(self, parameters: Views, inputs: NDArray, hidden: NDArray, ct: NDArray) -> Views:
        """Return the gradient of ``sum(ct * outputs)`` with respect to each parameter."""
        ct_hidden = (ct @ parameters["weights_1"].T) * (1 - hidden**2)  # the derivative of tanh
        return {
            "weights_0": inputs.T @ ct_hidden,
            "intercept_0": ct_hidden.sum(axis=0),
            "weights_1": hidden.T @ ct,
            "intercept_1": ct.sum(axis=0),
        }
