"""The methods of a generative model: their arguments and results.

Calls are checked against this table. The user guide repeats it, with the use of each method.

In shapes, ``P`` is the number of parameters, ``D`` of columns, ``n`` of latents, ``m`` of rows of data, ``k`` of local
rows, ``L`` of numbers in a local row, ``S`` of sufficient statistics and ``F`` of features. Latents ``z (n, ...)`` are
one array or a tuple of arrays.
"""

import re
from typing import NamedTuple

Shape = tuple[str, ...]

ARRAY = re.compile(r"(\w+)(?: \(([^)]*)\))?")


class Method(NamedTuple):
    """A method of a generative model.

    Attributes
    ----------
    arguments : str
        Arguments in their order; arrays with their shapes.
    returns : str
        Returned arrays with their shapes.
    finite : bool
        Whether the returned numbers must be finite: no later check would find the mistake.
    """

    arguments: str
    returns: str
    finite: bool = False


METHODS = {
    # required: GenerativeModel
    "initial_params": Method("X (m, D), rng", "theta (P,)", finite=True),
    "sample": Method("theta (P,), n, rng", "z (n, ...), x (n, D)"),
    "grad_log_joint": Method("theta (P,), z (n, ...), x (n, D), weights (n,)", "gradient (P,)"),
    # optional: ExponentialFamily
    "sufficient_statistics": Method("x (n, D)", "statistics (n, S)"),
    "natural_parameters": Method("theta (P,), z (n, ...)", "eta (n, S), psi (n,)"),
    "natural_vjp": Method("theta (P,), z (n, ...), ct_eta (n, S), ct_psi (n,)", "gradient (P,)"),
    # optional: LocalFactors, and the inputs of their regression
    "local_inputs": Method("X (m, D)", "rows (k, L)", finite=True),
    "sample_local": Method("theta (P,), rows (k, L), n, rng", "z (n, ...), rows (n, L)"),
    "local_grad_log_joint": Method("theta (P,), z (n, ...), rows (n, L), weights (n,)", "gradient (P,)"),
    "local_features": Method("theta (P,), rows (k, L)", "features (k, F)"),
    # optional: rows with inputs
    "sample_given": Method("theta (P,), rows (n, D), rng", "z (n, ...), x (n, D)"),
    # optional: densities
    "scores": Method("theta (P,), z (n, ...), x (n, D)", "scores (n, P)"),
    "log_joint": Method("theta (P,), z (n, ...), x (n, D)", "log_prob (n,)"),
    "log_prob_x_given_z": Method("theta (P,), z (n, ...), x (m, D)", "log_prob (n, m)"),
    "log_likelihood": Method("theta (P,), X (m, D)", "log_prob (m,)"),
    "grad_log_likelihood": Method("theta (P,), X (m, D)", "gradient (P,)"),
    "log_prior_params": Method("theta (P,)", "log_prob ()"),
    "grad_log_prior_params": Method("theta (P,)", "gradient (P,)"),
    # optional: parameters and latents
    "project": Method("theta (P,)", "theta (P,)"),
    "unpack": Method("theta (P,)", "params"),
    "column_units": Method("mean (D,), std (D,)", "location (D,), scale (D,)", finite=True),
    "params_in_units": Method("theta (P,), location (D,), scale (D,)", "theta (P,)", finite=True),
    "latent_function": Method("z (n, ...)", "features (n, F)"),
}


def arrays(text: str) -> dict[str, Shape]:
    """Return the names in a list of arguments or results of the table with their shapes; ``()`` without a shape."""
    return {name: tuple(re.findall(r"\w+|\.\.\.", shape)) for name, shape in ARRAY.findall(text)}
