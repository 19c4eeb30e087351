"""The methods of a generative model: their arguments, results and uses.

The checks of models and the user guide both read this table. In shapes, ``P`` is the number of parameters, ``D`` of
columns, ``n`` of latents, ``m`` of rows of data, ``k`` of local rows, ``L`` of numbers in a local row, ``S`` of
sufficient statistics and ``F`` of features. Latents ``z (n, ...)`` are one array or a tuple of arrays.
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
    use : str
        Use by the estimator.
    finite : bool
        Whether the returned numbers must be finite: no later check would find the mistake.
    """

    arguments: str
    returns: str
    use: str
    finite: bool = False


METHODS = {
    # required: GenerativeModel
    "initial_params": Method("X (m, D), rng", "theta (P,)", "required: parameters to start from", finite=True),
    "sample": Method("theta (P,), n, rng", "z (n, ...), x (n, D)", "required: simulation"),
    "grad_log_joint": Method(
        "theta (P,), z (n, ...), x (n, D), weights (n,)",
        "gradient (P,)",
        'required unless one of the other gradients is there: ``gradient="direct"``, the regression of scores',
    ),
    # optional: ExponentialFamily
    "sufficient_statistics": Method(
        "x (n, D)",
        "statistics (n, S)",
        'with the next two, ``gradient="exponential"``: only natural parameters are regressed, so it is more accurate',
    ),
    "natural_parameters": Method("theta (P,), z (n, ...)", "eta (n, S), psi (n,)", "see ``sufficient_statistics``"),
    "natural_vjp": Method(
        "theta (P,), z (n, ...), ct_eta (n, S), ct_psi (n,)", "gradient (P,)", "see ``sufficient_statistics``"
    ),
    # optional: LocalFactors, and the inputs of their regression
    "local_inputs": Method(
        "X (m, D)",
        "rows (k, L)",
        "with the next two, the regression of local factors instead of whole rows, see below",
        finite=True,
    ),
    "sample_local": Method("theta (P,), rows (k, L), n, rng", "z (n, ...), rows (n, L)", "see ``local_inputs``"),
    "local_grad_log_joint": Method(
        "theta (P,), z (n, ...), rows (n, L), weights (n,)", "gradient (P,)", "see ``local_inputs``"
    ),
    "local_features": Method(
        "theta (P,), rows (k, L)", "features (k, F)", "inputs of the local regression in place of ``rows``"
    ),
    # optional: densities
    "log_joint": Method(
        "theta (P,), z (n, ...), x (n, D)", "log_prob (n,)", "``reuse_sleep``; more checks of the gradient"
    ),
    "log_prob_x_given_z": Method(
        "theta (P,), z (n, ...), x (m, D)",
        "log_prob (n, m)",
        '``gradient="importance"``, which ``"auto"`` uses after the first hundred steps while enough dreams explain a '
        "row; ``effective_sample_sizes_``",
    ),
    "log_likelihood": Method(
        "theta (P,), X (m, D)",
        "log_prob (m,)",
        "``score``, ``score_samples``, ``n_restarts``, grid searches; ``fit`` keeps the best parameters, see below",
    ),
    "grad_log_likelihood": Method(
        "theta (P,), X (m, D)",
        "gradient (P,)",
        '``gradient="exact"``; a warning if the exact gradient would still raise the likelihood by much',
    ),
    # optional: parameters and latents
    "project": Method("theta (P,)", "theta (P,)", "bounds of the parameters, applied after each step"),
    "unpack": Method("theta (P,)", "params", "``params_``, a dict of arrays by name"),
    "column_units": Method(
        "mean (D,), std (D,)",
        "location (D,), scale (D,)",
        "with ``params_in_units``, training in standardized columns, see below",
        finite=True,
    ),
    "params_in_units": Method(
        "theta (P,), location (D,), scale (D,)", "theta (P,)", "see ``column_units``", finite=True
    ),
    "latent_function": Method(
        "z (n, ...)", "features (n, F)", '``transform``, which is its posterior expectation; ``feature_map="additive"``'
    ),
}


def arrays(text: str) -> dict[str, Shape]:
    """Return the names in a list of arguments or results of the table with their shapes; ``()`` without a shape."""
    return {name: tuple(re.findall(r"\w+|\.\.\.", shape)) for name, shape in ARRAY.findall(text)}
