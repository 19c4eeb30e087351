"""Damaged and hostile files raise one kind of error, before large arrays are allocated."""

import copy
import pickle
import tracemalloc
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from skwakesleep import AmortisedWakeSleep, HelmholtzMachine, models, simulators
from skwakesleep._adapters.persistence import CLASS, NAMES, PATHS, fits, from_plain
from skwakesleep._engine.machine import codecs
from skwakesleep._engine.machine.networks import MAX_LAYERS, Machine
from skwakesleep.models import LatentFactors
from skwakesleep.reference import IndependentBernoulli
from skwakesleep.simulators import BlowflyDynamics

pytestmark = pytest.mark.filterwarnings("ignore:The regression predicts no better")  # few dreams

X = (np.random.default_rng(0).random((40, 6)) < 0.4).astype(float)
MAX_BYTES = 2**22  # memory that loading a damaged file may allocate, in bytes


def saved(estimator):
    """Return a copy of the state of an estimator."""
    return copy.deepcopy(estimator.__getstate__())


def load(cls, state):
    return object.__new__(cls).__setstate__(state)


MACHINE = HelmholtzMachine((4, 2), visible="gaussian", early_stopping=True, max_iter=2, tol=None, random_state=0).fit(X)
SQUARED = HelmholtzMachine((4, 2), solver="sgd", learning_rate_init=0.01, max_iter=2, tol=None, random_state=0).fit(X)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    AMORTISED = AmortisedWakeSleep(LatentFactors(6), reuse_sleep=True, n_sleep=50, max_iter=2, random_state=0).fit(X)
BLOWFLY = AmortisedWakeSleep(BlowflyDynamics(20, 2, history=[1.0, 1.0, 1.0]))
DISCARDED = copy.copy(MACHINE).discard_training_state()


def put(path, value):
    """Return a function that sets an item of a state to `value`, or to ``value(item)`` if that is callable."""
    *names, last = path.split(".")

    def damage(state):
        for name in names:
            state = state[name]
        state[last] = value(state[last]) if callable(value) else value

    return damage


def drop(path):
    """Return a function that removes an item of a state."""
    *names, last = path.split(".")

    def damage(state):
        for name in names:
            state = state[name]
        del state[last]

    return damage


def both(*damages):
    return lambda state: [damage(state) for damage in damages]


def short(array):
    return array[:5]


def first(number):
    """Return a function that changes the first number of an array."""

    def changed(array):
        array = array.copy()
        array[0] = number
        return array

    return changed


def nested(depth):
    """Return nested dictionaries."""
    value = {}
    for _ in range(depth):
        value = {"inside": value}
    return value


def cycle():
    value = {}
    value["inside"] = value
    return value


# A machine as earlier versions wrote it.
EARLIER = {
    CLASS: "machine",
    "sizes": (6, 4, 2),
    "visible": {CLASS: "bernoulli"},
    "n_active": 2.0,
    "autoregressive": ["prior"],
}
CODEC = {CLASS: "unit-interval", "column_means": np.zeros(6), "n_rows": 1}
WIDE = put("model_.n_features", 10**6)
NOT_AN_ATTRIBUTE = "cannot be an attribute of a saved estimator"
TOO_DEEP = "nested more than 100 levels deep"
CLASSES = {
    "a function": (
        MACHINE,
        put(f"_fitted.machine.{CLASS}", "os.system"),
        "class 'os.system', which is none of this package",
    ),
    "a path": (MACHINE, put(f"_fitted.machine.{CLASS}", PATHS["machine/2"]), "none of this package"),
    "not a string": (MACHINE, put(f"_fitted.machine.{CLASS}", ["machine/2"]), "none of this package"),
    "not registered": (
        MACHINE,
        put(f"_fitted.machine.{CLASS}", "layer"),
        "class 'layer', which is none of this package",
    ),
    "another class": (MACHINE, put(f"_fitted.machine.{CLASS}", "adam"), "of 'adam' is missing"),
    "no attributes": (MACHINE, put("_fitted.state", {CLASS: "training-state/3"}), "of 'training-state/3' is missing"),
    "machine of another class": (MACHINE, put("_fitted.machine", CODEC), "fitted-machine|_fitted"),
    "state of another class": (MACHINE, put("_fitted.state", CODEC), "fitted-machine|_fitted"),
    "optimizer of another class": (MACHINE, put("_fitted.state.optimizer", CODEC), "optimizer of"),
    "state of the other estimator": (
        AMORTISED,
        put("_fitted.state", MACHINE.__getstate__()["_fitted"]["state"]),
        "state of 'amortised-fit'",
    ),
}
ATTRIBUTES = {
    "no average": (MACHINE, drop("_fitted.state.average"), "average of 'training-state/3' is missing"),
    "no moments": (MACHINE, drop("_fitted.state.optimizer._first"), "_first of 'adam' is missing"),
    "no widths": (MACHINE, drop("_fitted.machine.hidden_sizes"), "hidden_sizes of 'machine/2' is missing"),
    "no machine": (MACHINE, drop("_fitted.machine"), "machine of .fitted-machine. is missing"),
    "no state": (MACHINE, drop("_fitted.state"), "state of .fitted-machine. is missing"),
    "no kind of columns": (MACHINE, drop("visible_"), "visible_ is missing"),
    "no model": (AMORTISED, drop("model_"), "model_ is missing"),
    "no stream": (MACHINE, drop("_fitted.state.streams._generators.dreams"), "no random stream for 'dreams'"),
    "unknown form": (AMORTISED, put("gradient_", "none"), "gradient_"),
    "unknown attribute": (MACHINE, put("_fitted.state.x", 0), "'training-state/3' has no 'x'"),
    "attribute hides a method": (MACHINE, put("_fitted.state.copy", 0), "'training-state/3' has no 'copy'"),
    "unknown argument": (MACHINE, put("_fitted.machine.x", 0), "'machine/2' has no 'x'"),
    "attribute hides transform": (MACHINE, put("transform", 0), f"'transform' {NOT_AN_ATTRIBUTE}"),
    "attribute hides a property": (MACHINE, put("components_", 0), f"'components_' {NOT_AN_ATTRIBUTE}"),
    "attribute hides the constraints": (
        MACHINE,
        put("_parameter_constraints", {}),
        f"'_parameter_constraints' {NOT_AN_ATTRIBUTE}",
    ),
    "attribute hides the class": (MACHINE, put("__class__", 0), f"'__class__' {NOT_AN_ATTRIBUTE}"),
    "attribute hides a method of scikit-learn": (MACHINE, put("get_params", 0), f"'get_params' {NOT_AN_ATTRIBUTE}"),
    "attribute name is a number": (MACHINE, lambda state: state.update({7: 0}), f"7 {NOT_AN_ATTRIBUTE}"),
}
TYPES = {
    "a list of parameters": (
        MACHINE,
        put("_fitted.state.parameters", np.ndarray.tolist),
        "parameters of .* type 'list'",
    ),
    "objects": (
        MACHINE,
        put("_fitted.state.average", lambda array: array.astype(object)),
        "average of .* type 'ndarray'",
    ),
    "integer array": (
        MACHINE,
        put("_fitted.state.average", lambda array: array.astype(int)),
        "average has .* dtype int64",
    ),
    "no optimizer": (
        MACHINE,
        put("_fitted.state.optimizer", None),
        "optimizer of .* type 'NoneType'",
    ),
    "no streams": (MACHINE, put("_fitted.state.streams", {}), "streams of 'training-state/3' .* type 'dict'"),
    "bounds as a string": (MACHINE, put("_fitted.state.lower_bounds", ["low"]), "lower_bounds of .* type 'list'"),
    "a number as a string": (MACHINE, put("_fitted.state.n_steps", "3"), "n_steps of .* type 'str'"),
    "widths as a string": (
        MACHINE,
        put("_fitted.machine.hidden_sizes", "42"),
        "hidden_sizes of 'machine/2' .* type 'str'",
    ),
    "fractional widths": (
        MACHINE,
        put("_fitted.machine.hidden_sizes", (4.0, 2.5)),
        "hidden_sizes of 'machine/2' .* type 'tuple'",
    ),
    "columns as a string": (
        MACHINE,
        put("_fitted.machine.columns", "gaussian"),
        "columns of 'machine/2' .* type 'str'",
    ),
    "an unknown kind of columns": (
        MACHINE,
        put("_fitted.machine.columns.blocks", lambda blocks: {"magic": blocks["gaussian"]}),
        "magic",
    ),
    "the codec of another kind": (
        MACHINE,
        put("_fitted.machine.columns.blocks.gaussian.codec", CODEC),
        "",
    ),
    "no block": (MACHINE, put("_fitted.machine.columns.blocks", {}), ""),
    "a feature map as a string": (
        AMORTISED,
        put("_fitted.state.regression.feature_map", "none"),
        "feature_map of .* type 'str'",
    ),
}
ARRAYS = {
    "short parameters": (MACHINE, put("_fitted.state.parameters", short), r"parameters has shape \(5,\)"),
    "short average": (MACHINE, put("_fitted.state.average", short), r"average has shape \(5,\)"),
    "short best parameters": (
        MACHINE,
        put("_fitted.state.best_parameters", short),
        r"best_parameters has shape \(5,\)",
    ),
    "short moments": (MACHINE, put("_fitted.state.optimizer._first", short), r"_first has shape \(5,\)"),
    "short squares": (SQUARED, put("_fitted.state.optimizer._squares", short), r"_squares has shape \(5,\)"),
    "short step sizes": (MACHINE, put("_fitted.state.optimizer._scales", short), r"_scales has shape \(5,\)"),
    "short locations": (
        MACHINE,
        put("_fitted.machine.columns.blocks.gaussian.codec.location", short),
        "not of 6 columns",
    ),
    "short scales": (MACHINE, put("_fitted.machine.columns.blocks.gaussian.codec.scale", short), "not of 6 columns"),
    "a column twice": (
        MACHINE,
        put("_fitted.machine.columns.blocks.gaussian.columns", first(3)),
        "the blocks are not of 6 columns",
    ),
    "a column that is not there": (
        MACHINE,
        put("_fitted.machine.columns.blocks.gaussian.columns", first(7)),
        "the blocks are not of 6 columns",
    ),
    "no numbers": (DISCARDED, put("_fitted.state.average", np.zeros(0)), r"average has shape \(0,\)"),
    "a table": (MACHINE, put("_fitted.state.average", lambda array: array[:, np.newaxis]), "average has shape"),
    "NaN": (MACHINE, put("_fitted.state.best_parameters", first(np.nan)), "best_parameters is not finite"),
    "infinity": (MACHINE, put("_fitted.state.parameters", first(np.inf)), "parameters is not finite"),
    "NaN for inference": (DISCARDED, put("_fitted.state.average", first(np.nan)), "average is not finite"),
    "NaN for a location": (
        MACHINE,
        put("_fitted.machine.columns.blocks.gaussian.codec.location", first(np.nan)),
        "no finite location",
    ),
    "scale of zero": (
        MACHINE,
        put("_fitted.machine.columns.blocks.gaussian.codec.scale", first(0.0)),
        "no finite location and scale",
    ),
    "negative scale": (
        MACHINE,
        put("_fitted.machine.columns.blocks.gaussian.codec.scale", first(-1.0)),
        "no finite location and scale",
    ),
    "short theta": (AMORTISED, put("theta_", short), r"theta_ has shape \(5,\)"),
    "NaN in theta": (AMORTISED, put("theta_", first(np.nan)), "theta_ is not finite"),
    "short iterate": (AMORTISED, put("_fitted.state.parameters", short), r"parameters has shape \(5,\)"),
    "short memory": (AMORTISED, put("_fitted.state.regression.memory.log_joint", short), "dreams to be used again"),
    "short latents": (AMORTISED, put("_fitted.state.regression.memory.z", short), "dreams to be used again"),
    "short history": (BLOWFLY, put("model.history", lambda array: array[:1]), "history must have"),
}
NUMBERS = {
    "a negative width": (MACHINE, put("_fitted.machine.hidden_sizes", (-4, 2)), "the smallest of -4 units"),
    "no hidden layer": (MACHINE, put("_fitted.machine.hidden_sizes", ()), "Got 0 layers"),
    "300 000 layers": (MACHINE, put("_fitted.machine.hidden_sizes", (6,) * 300_000), "Got 300000 layers"),
    "a wide layer": (MACHINE, put("_fitted.machine.hidden_sizes", (10**12, 2)), r"parameters has .* not \d+ floats"),
    "many columns in a file of an earlier version": (
        MACHINE,
        put("_fitted.machine", EARLIER | {"sizes": (10**12, 4, 2)}),
        "columns|floats",
    ),
    "other columns": (MACHINE, put("n_features_in_", 7), "the machine has 6 columns, but n_features_in_=7"),
    "negative steps": (MACHINE, put("_fitted.state.n_steps", -1), "n_steps is negative: -1"),
    "negative steps of Adam": (MACHINE, put("_fitted.state.optimizer._n_steps", -3), "_n_steps is negative: -3"),
    "a negative seed": (MACHINE, put("_fitted.state.streams.validation_seed", -1), "validation_seed is negative: -1"),
    "a negative model": (AMORTISED, put("model_.n_features", -6), "n_features of LatentFactors must be an int"),
    "an unknown model": (AMORTISED, put("model_.latents", "magic"), "latents of LatentFactors must be one of"),
    "a wide model": (AMORTISED, both(WIDE, put("model_.noise", "full")), "model_ has 1000000 columns"),
    "a wide model, twice": (
        AMORTISED,
        both(WIDE, put("model_.noise", "full"), put("n_features_in_", 10**6)),
        r"theta_ has .* not \d+ floats",
    ),
    "a long series": (BLOWFLY, both(put("model.n_features", 10**11), put("model.delay", 10**10)), "history must have"),
}
NESTING = {
    "deep attribute": (MACHINE, put("note", nested(5000)), TOO_DEEP),
    "deep machine": (MACHINE, put("_fitted.machine.columns", nested(5000)), TOO_DEEP),
    "cycle": (MACHINE, put("note", cycle()), TOO_DEEP),
}
HOSTILE = {**CLASSES, **ATTRIBUTES, **TYPES, **ARRAYS, **NUMBERS, **NESTING}


@pytest.mark.parametrize(("estimator", "damage", "message"), HOSTILE.values(), ids=HOSTILE)
def test_damaged_file_is_rejected(estimator, damage, message):
    state = saved(estimator)
    damage(state)
    cls = type(estimator)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=rf"^A saved {cls.__name__} is damaged: .*({message}).*\.$"):
            load(cls, state)
        assert tracemalloc.get_traced_memory()[1] < MAX_BYTES
    finally:
        tracemalloc.stop()


def test_state_must_be_a_dictionary():
    with pytest.raises(ValueError, match="A saved HelmholtzMachine is damaged: its state is a list"):
        load(HelmholtzMachine, [1, 2])


@pytest.mark.parametrize("estimator", [MACHINE, SQUARED, AMORTISED, BLOWFLY, DISCARDED])
def test_undamaged_file_is_loaded(estimator):
    """Negative control."""
    load(type(estimator), saved(estimator))


def test_constructor_arguments_missing_in_earlier_versions_get_their_defaults():
    """For constructors of models and of the engine."""
    state = saved(AMORTISED)
    del state["model_"]["noise_floor"]
    other = object.__new__(AmortisedWakeSleep)
    other.__setstate__(state)
    assert other.model_.noise_floor == LatentFactors(6).noise_floor


@pytest.mark.parametrize(("estimator", "name"), [(MACHINE, "n_score_steps"), (AMORTISED, "reuse_sleep")])
def test_parameters_missing_in_earlier_versions_get_their_defaults(estimator, name):
    state = saved(estimator) | {"_skwakesleep_version": "0.0.1"}
    del state[name]
    other = object.__new__(type(estimator))
    with pytest.warns(UserWarning, match=r"saved by skwakesleep 0\.0\.1"):
        other.__setstate__(state)
    assert repr(other)
    assert getattr(other, name) == getattr(type(estimator)(), name)
    assert_array_equal(other.transform(X), estimator.transform(X))


def test_shared_dictionaries_are_visited_once():
    """Each of 90 dictionaries holds the one before twice. Visiting both would take 2**90 steps."""
    value = {}
    for _ in range(90):
        value = {"left": value, "right": value}
    plain = from_plain(value)
    assert plain["left"] is plain["right"]


class Annotated(HelmholtzMachine):
    """A user's class with an attribute whose default is in the class."""

    note = None


def test_subclass_may_have_other_attributes():
    machine = Annotated(4)
    machine.note, machine.remark = "mine", {"of": ["any", "kind"]}
    other = pickle.loads(pickle.dumps(machine))
    assert (other.note, other.remark) == ("mine", {"of": ["any", "kind"]})


def test_output_configuration_of_scikit_learn_is_saved():
    machine = copy.deepcopy(MACHINE).set_output(transform="default")
    machine.set_params(warm_start=True)
    other = pickle.loads(pickle.dumps(machine))
    assert vars(other).keys() == vars(machine).keys() >= {"_sklearn_output_config"}


@pytest.mark.parametrize("name", PATHS)
def test_registered_path_leads_to_the_class(name):
    module, _, attribute = PATHS[name].rpartition(".")
    __import__(module)
    cls = getattr(__import__("sys").modules[module], attribute)
    assert (cls.__module__, cls.__qualname__) == (module, attribute)


def test_all_models_and_codecs_are_registered():
    """Those but `FunctionModel`, which is made of functions of users."""
    shipped = [getattr(module, name) for module in (models, simulators) for name in module.__all__]
    shipped += list(vars(codecs).values())
    own = (models.__name__, simulators.__name__, codecs.__name__)
    classes = {cls for cls in shipped if isinstance(cls, type) and cls.__module__.startswith(own)}
    concrete = {
        cls
        for cls in classes
        if not getattr(cls, "_is_protocol", False) and (hasattr(cls, "sample") or hasattr(cls, "encode"))
    }
    assert len(concrete) >= 8
    assert {f"{cls.__module__}.{cls.__qualname__}" for cls in concrete - {models.FunctionModel}} <= NAMES.keys()


# What NDArray is since NumPy 2.5, with Python 3.12 or later.
ALIAS = SimpleNamespace(__value__=NDArray)
ANNOTATED = [
    (3, int, True),
    (np.int64(3), int, True),
    (True, int, False),
    (3.5, int, False),
    (3, float, True),
    ("3", float, False),
    (None, float | None, True),
    ([1.0, 2], list[float], True),
    ((1.0,), list[float], False),
    ([1.0, "2"], list[float], False),
    ({"a": 1}, dict[str, int], True),
    ({1: 1}, dict[str, int], False),
    ("text", str, True),
    (np.zeros(2), np.ndarray, True),
    (np.array([None]), np.ndarray, False),
    (np.zeros(2), ALIAS, True),
    ([0.0], ALIAS, False),
]


@pytest.mark.parametrize(("value", "annotation", "expected"), ANNOTATED)
def test_fits_compares_a_value_with_its_annotation(value, annotation, expected):
    assert fits(value, annotation) is expected


def test_a_machine_has_so_many_layers():
    assert len(Machine(MACHINE._fitted.machine.columns, (6,) * MAX_LAYERS).layers) == 2 * MAX_LAYERS + 1
    with pytest.raises(ValueError, match="hidden_layer_sizes must have 1 to 1000 layers"):
        HelmholtzMachine((1,) * (MAX_LAYERS + 1)).fit(X)


def test_damaged_file_of_a_reference_density_is_rejected():
    density = IndependentBernoulli().fit(X)
    state = saved(density)
    del state["smoothing"]
    other = object.__new__(IndependentBernoulli)
    other.__setstate__(state)
    assert other.smoothing == IndependentBernoulli().smoothing
    assert_array_equal(other.score_samples(X), density.score_samples(X))
    with pytest.raises(ValueError, match="A saved IndependentBernoulli is damaged: 'score_samples'"):
        load(IndependentBernoulli, state | {"score_samples": 0})
