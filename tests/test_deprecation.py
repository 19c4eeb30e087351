"""Deprecated import paths still work, with a FutureWarning that names the replacement."""

from importlib import import_module

import pytest

from skwakesleep import models
from skwakesleep._deprecation import deprecated_names, moved
from skwakesleep.models import FunctionModel, LatentFactors
from skwakesleep.models._removed_protocols import METHODS
from skwakesleep.simulators import BlowflyDynamics, HodgkinHuxley

MOVED = [
    ("skwakesleep.models", "BlowflyDynamics", "skwakesleep.simulators"),
    ("skwakesleep.models", "HodgkinHuxley", "skwakesleep.simulators"),
    ("skwakesleep.models", "Pinwheel", "skwakesleep.simulators"),
    ("skwakesleep.onnx", "register", "skwakesleep.contrib.onnx"),
    ("skwakesleep.replicas", "average", "skwakesleep.contrib.replicas"),
    ("skwakesleep.replicas", "replicate", "skwakesleep.contrib.replicas"),
]


@pytest.mark.parametrize(("old", "name", "new"), MOVED)
def test_moved_name_warns_and_is_the_same_object(old, name, new):
    with pytest.warns(FutureWarning, match=rf"{old}.{name} is deprecated .* `from {new} import {name}`") as caught:
        value = getattr(import_module(old), name)
    assert value is getattr(import_module(new), name)
    assert caught[0].filename == __file__


@pytest.mark.parametrize("name", METHODS)
def test_removed_protocol_warns_and_checks_for_its_methods(name):
    with pytest.warns(FutureWarning, match=rf"test hasattr\(model, '{METHODS[name][0]}'\)"):
        protocol = getattr(models, name)
    for model in LatentFactors(3), BlowflyDynamics(12, 2), HodgkinHuxley():
        assert isinstance(model, protocol) == all(hasattr(model, method) for method in METHODS[name])
    functions = dict.fromkeys(METHODS[name], len) | {"sample": len, "log_joint": len}
    assert isinstance(FunctionModel(**functions, n_params=1, n_features=1), protocol)


def test_unknown_name_raises_attribute_error():
    for module in "skwakesleep.models", "skwakesleep.onnx", "skwakesleep.replicas":
        with pytest.raises(AttributeError, match=f"module '{module}' has no attribute 'nothing'"):
            import_module(module).nothing  # noqa: B018


def test_new_module_of_a_moved_name_is_imported_lazily():
    with pytest.raises(ModuleNotFoundError), pytest.warns(FutureWarning, match="here.thing is deprecated"):
        deprecated_names("here", {"thing": moved("thing", "skwakesleep.nowhere")})("thing")
