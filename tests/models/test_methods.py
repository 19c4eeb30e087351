"""The table of model methods: its copy in the user guide, and the checks of calls against it."""

from pathlib import Path

import numpy as np
import pytest

from skwakesleep._engine.amortised.optional_methods import EXPONENTIAL_FAMILY, LOCAL_FACTORS
from skwakesleep.models import ExponentialFamily, GenerativeModel, LatentFactors, LocalFactors, ModelError
from skwakesleep.models._checks import GuardedModel
from skwakesleep.models._methods import METHODS, arrays
from skwakesleep.simulators import BlowflyDynamics

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "black_box" / "model_methods.rst"


def test_user_guide_lists_the_methods_in_order_with_their_uses():
    """Rows of the guide's table are three lines: the call, what it returns, and its use."""
    lines = [line.strip() for line in GUIDE.read_text(encoding="utf-8").splitlines()]
    rows = [(line, lines[place + 1]) for place, line in enumerate(lines) if line.startswith("* - ``")]
    assert rows == [
        (f"* - ``{name}({method.arguments})``", f"- ``{method.returns}``") for name, method in METHODS.items()
    ]
    assert all(lines[lines.index(call) + 2].startswith("- ") for call, _ in rows)


@pytest.mark.parametrize(
    ("protocol", "names"),
    [
        (GenerativeModel, ("initial_params", "sample", "grad_log_joint")),
        (ExponentialFamily, EXPONENTIAL_FAMILY),
        (LocalFactors, LOCAL_FACTORS),
    ],
)
def test_methods_of_protocols_are_in_the_table(protocol, names):
    methods = {name for name, value in vars(protocol).items() if callable(value) and not name.startswith("_")}
    assert methods == set(names) <= METHODS.keys()


def test_arguments_in_the_table_match_the_models():
    """The number of arguments is compared for each method that a model has."""
    for model in LatentFactors(3), BlowflyDynamics(12, 2):
        for name, method in METHODS.items():
            if hasattr(model, name):
                code = getattr(model, name).__func__.__code__
                assert code.co_argcount - 1 == len(arrays(method.arguments)), name


INVALID = {
    "P": ("grad_log_joint", np.zeros(3)),
    "n": ("log_joint", np.zeros(3)),
    "m": ("log_likelihood", np.zeros(3)),
    "n and m": ("log_prob_x_given_z", np.zeros((2, 5))),
    "n of two results": ("natural_parameters", (np.zeros((5, 2)), np.zeros(4))),
    "D": ("column_units", (np.zeros(2), np.zeros(2))),
    "two results": ("column_units", np.zeros(2)),
    "finite": ("params_in_units", np.full(9, np.nan)),
    "any number of features": ("latent_function", np.zeros(5)),
    "names": ("unpack", [1]),
}


@pytest.mark.parametrize("case", INVALID)
def test_invalid_results_raise(case):
    """Valid results do not raise."""
    name, result = INVALID[case]
    model = LatentFactors(3, 1)
    theta, z, x, rows = np.zeros(model.n_params), np.zeros((5, 1)), np.zeros((5, 3)), np.zeros((2, 3))
    x = rows if name == "log_prob_x_given_z" else x
    values = {"theta": theta, "z": z, "x": x, "X": rows, "weights": np.ones(5)}
    values |= {"mean": np.ones(3), "std": np.ones(3), "location": np.ones(3), "scale": np.ones(3)}
    args = [values[argument] for argument in arrays(METHODS[name].arguments)]
    getattr(GuardedModel(model), name)(*args)

    class Invalid(LatentFactors):
        pass

    setattr(Invalid, name, lambda self, *args: result)
    with pytest.raises(ModelError, match=f"^Invalid.{name} "):
        getattr(GuardedModel(Invalid(3, 1)), name)(*args)
