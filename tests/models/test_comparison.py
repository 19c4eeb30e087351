"""Models are the same if they have the same class and equal parameters."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator

from skwakesleep.models import LatentFactors, NeuralDecoder
from skwakesleep.models._parameters import same_model


class Model(BaseEstimator):
    def __init__(self, value=None, other=None):
        self.value = value
        self.other = other


class Subclass(Model):
    pass


class Opaque:
    """A class without get_params and without __eq__."""


class Ambiguous:
    """A class whose __eq__ returns an array."""

    def __eq__(self, other):
        return np.zeros(3)

    __hash__ = None


def square(x):
    return x**2


VALUES = {
    "number": lambda: 0.5,
    "nan": lambda: float("nan"),
    "string": lambda: "angle",
    "none": lambda: None,
    "array": lambda: np.array([1.0, np.nan, 3.0]),
    "array of strings": lambda: np.array(["a", "b"]),
    "function": lambda: square,
    "list": lambda: [1, [np.ones(2), "a"]],
    "dictionary": lambda: {"a": np.ones(2), "b": (1, 2)},
    "model": lambda: Model(np.ones(2)),
}


@pytest.mark.parametrize("name", VALUES)
def test_models_with_equal_parameters_are_the_same(name):
    model = Model(VALUES[name]())
    assert same_model(model, Model(VALUES[name]()))
    assert same_model(model, model)
    assert not same_model(model, Subclass(VALUES[name]()))
    assert not same_model(model, Model(VALUES[name](), other=1))


DIFFERENT = [
    (0.5, 0.6),
    (0.5, np.array([0.5, 0.5])),
    (np.ones(2), np.ones(3)),
    (np.ones(2), np.array([1.0, np.nan])),
    (np.array(["a"]), np.array(["b"])),
    ([1, 2], [1, 2, 3]),
    ([1, np.ones(2)], [1, np.zeros(2)]),
    ({"a": 1}, {"b": 1}),
    ({"a": 1}, {"a": 2}),
    (square, lambda x: x**2),
    (Model(1), Model(2)),
    (Model(1), Subclass(1)),
    (Opaque(), Opaque()),
    (Ambiguous(), Ambiguous()),
    (Model, Subclass),
]


@pytest.mark.parametrize(("first", "second"), DIFFERENT)
def test_models_with_different_parameters_are_not_the_same(first, second):
    assert not same_model(Model(first), Model(second))
    assert not same_model(Model(second), Model(first))


def test_models_without_parameters_are_compared_by_identity():
    model = Opaque()
    assert same_model(model, model)
    assert not same_model(model, Opaque())


def test_models_of_the_package_are_compared_by_parameters():
    assert same_model(NeuralDecoder(4, 2), NeuralDecoder(4, 2))
    assert not same_model(NeuralDecoder(4, 2), NeuralDecoder(4, 3))
    assert not same_model(LatentFactors(4), LatentFactors(4, noise_floor=0.9))
