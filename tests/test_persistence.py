"""A pickle holds arrays, numbers, strings and the class of the estimator, but no other class of this package."""

import copy
import io
import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from skwakesleep import AmortisedWakeSleep, HelmholtzMachine
from skwakesleep._adapters.persistence import CLASS, from_plain, to_plain
from skwakesleep.contrib.replicas import average, replicate
from skwakesleep.models import FunctionModel, LatentFactors, NeuralDecoder, SigmoidBeliefNetwork
from skwakesleep.simulators import Pinwheel

pytestmark = pytest.mark.filterwarnings("ignore:The regression predicts no better")  # few dreams

MACHINES = {
    "bernoulli": {"visible": "bernoulli"},
    "gaussian": {"visible": "gaussian", "hidden_layer_sizes": (4, 2)},
    "sgd": {"solver": "sgd", "learning_rate_init": 0.01},
    "early stopping": {"early_stopping": True, "validation_fraction": 0.2, "warm_start": True},
    "autoregressive": {"autoregressive": ("visible", "recognition")},
}
MODELS = {
    "default": None,
    "ring": LatentFactors(6, 1, latents="angle", noise="full"),
    "decoder": NeuralDecoder(6, n_latents=3, n_hidden=4),
    "belief network": SigmoidBeliefNetwork(6, (3, 2)),
    "pinwheel": Pinwheel(n_features=6, n_categories=3, n_hidden=4, n_nodes=31),
}


def machine_with(parameters):
    defaults = {"hidden_layer_sizes": 3, "max_iter": 2, "tol": None, "random_state": 0}
    return HelmholtzMachine(**(defaults | parameters))


def amortised(model):
    return AmortisedWakeSleep(model, n_sleep=30, max_iter=2, feature_map=None, random_state=0)


def load_with_names(saved):
    """Return the object in a pickle, and the names that it imports from this package."""
    names = set()

    class Reader(pickle.Unpickler):
        def find_class(self, module, name):
            if module.startswith("skwakesleep"):
                names.add(name)
            return super().find_class(module, name)

    return Reader(io.BytesIO(saved)).load(), names


@pytest.mark.parametrize("parameters", MACHINES.values(), ids=MACHINES)
def test_saved_machine_imports_only_its_class(parameters, binary):
    machine = machine_with(parameters).fit(binary)
    loaded, names = load_with_names(pickle.dumps(machine))
    assert names == {"HelmholtzMachine"}
    assert_array_equal(loaded.partial_fit(binary).components_, machine.partial_fit(binary).components_)


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_saved_amortised_fit_imports_only_its_class(model, binary):
    fitted = amortised(model).fit(binary)
    loaded, names = load_with_names(pickle.dumps(fitted))
    assert names == {"AmortisedWakeSleep"}
    assert type(loaded.model_) is type(fitted.model_)
    assert_array_equal(loaded.partial_fit(binary).theta_, fitted.partial_fit(binary).theta_)


def test_file_contains_registered_names_and_no_module_names(binary):
    saved = pickle.dumps(amortised(LatentFactors(6)).fit(binary))
    assert b"amortised-state/3" in saved
    assert b"latent-factors" in saved
    assert b"_engine" not in saved
    assert b"skwakesleep.models" not in saved


def test_imported_names_are_detected():
    """Negative control for `load_with_names`: a model by itself."""
    assert load_with_names(pickle.dumps(LatentFactors(3, 1)))[1] == {"LatentFactors"}


def draw(theta, n, rng):
    z = rng.normal(size=(n, 1))
    return z, theta + np.repeat(z, 6, axis=1) + 0.1 * rng.normal(size=(n, 6))


def log_joint(theta, z, x):
    return -50 * np.square(x - theta - z).sum(axis=1)


def test_training_of_a_loaded_estimator_continues_with_its_model(binary):
    model = FunctionModel(draw, log_joint, n_params=1, n_features=6)
    loaded = pickle.loads(pickle.dumps(amortised(model).set_params(warm_start=True).fit(binary)))
    assert loaded.model == loaded.model_ == model
    assert loaded.fit(binary).n_iter_ == 4


def test_shallow_copy_shares_the_fitted_state(binary):
    machine = machine_with({}).fit(binary)
    assert copy.copy(machine)._fitted.state is machine._fitted.state


@pytest.mark.parametrize(
    "path",
    ["os.system", "skwakesleep._engine.machine.networks.np", "skwakesleep._engine.machine.networks.Layer"],
)
def test_unregistered_class_is_not_loaded(path):
    with pytest.raises(ValueError, match=f"{path!r}, which is none of this package"):
        from_plain({CLASS: path, "state": {}})


def test_objects_of_other_packages_are_saved_unchanged():
    value = {"array": np.arange(3), "nested": {"generator": np.random.default_rng(0)}}
    plain = to_plain(value)
    assert plain["array"] is value["array"]
    assert from_plain(plain)["nested"]["generator"] is value["nested"]["generator"]


# ---------------------------------------------------------------------- discard_training_state


def first_latent(z):
    z = z[0] if isinstance(z, tuple) else z
    return z.reshape(len(z), -1)[:, 0]


METHODS = {
    "transform": lambda estimator, X: estimator.transform(X),
    "inverse_transform": lambda estimator, X: estimator.inverse_transform(estimator.transform(X)),
    "score_samples": lambda estimator, X: estimator.score_samples(X),
    "score": lambda estimator, X: estimator.score(X),
    "sample": lambda estimator, X: estimator.sample(3, random_state=0),
    "certify": lambda estimator, X: estimator.certify(5, random_state=0).interval,
    "expect": lambda estimator, X: estimator.expect(X, first_latent),
    "estimate_gradient": lambda estimator, X: estimator.estimate_gradient(X, random_state=0),
    "get_feature_names_out": lambda estimator, X: estimator.get_feature_names_out(),
}


def results(estimator, X):
    """Return the results of all methods but training, and the fitted attributes, as pickles."""
    found = {name: method(estimator, X) for name, method in METHODS.items() if hasattr(estimator, name)}
    public = {name for name in dir(estimator) if name.endswith("_") and not name.startswith("_") and name != "model_"}
    found |= {name: getattr(estimator, name) for name in public}
    return {name: pickle.dumps(result) for name, result in found.items()}


FITTED = {
    **{name: lambda parameters=parameters: machine_with(parameters) for name, parameters in MACHINES.items()},
    **{name: lambda model=model: amortised(model) for name, model in MODELS.items()},
    "reused dreams": lambda: amortised(None).set_params(reuse_sleep=True, feature_map="predictive"),
    "importance": lambda: amortised(None).set_params(gradient="importance"),
}
every_fit = pytest.mark.parametrize("estimator", FITTED.values(), ids=FITTED)


@every_fit
def test_results_are_equal_without_the_training_state(estimator, binary):
    estimator = estimator().fit(binary)
    before = results(estimator, binary)
    assert {"transform", "sample", "n_iter_"} <= before.keys()
    assert estimator.discard_training_state() is estimator
    assert results(estimator, binary) == before
    assert results(pickle.loads(pickle.dumps(estimator)), binary) == before
    assert results(estimator.discard_training_state(), binary) == before  # discarding twice has no effect


@every_fit
def test_without_the_training_state_only_a_new_fit_is_possible(estimator, binary):
    estimator = estimator().fit(binary)
    before = results(clone(estimator).fit(binary), binary)
    estimator = pickle.loads(pickle.dumps(estimator.discard_training_state()))
    for train in (estimator.partial_fit, copy.copy(estimator).set_params(warm_start=True).fit):
        with pytest.raises(ValueError, match=r"discard_training_state was called.*fit with warm_start=False"):
            train(binary)
    assert results(estimator, binary) == before
    assert results(estimator.set_params(warm_start=False).fit(binary), binary) == before
    assert estimator.partial_fit(binary).n_iter_ == 3


def test_replicas_need_a_training_state(binary):
    machine = machine_with({}).fit(binary)
    replicas = replicate(machine, 2)
    machine.discard_training_state()
    replicas[1].discard_training_state()
    for use in (lambda: replicate(machine, 2), lambda: average(replicas)):
        with pytest.raises(ValueError, match="HelmholtzMachine cannot be trained further"):
            use()
    assert replicas[0].partial_fit(binary).n_iter_ == 3  # keeps the state that it shared with `machine`


def test_discard_training_state_before_fit_is_an_error():
    with pytest.raises(NotFittedError):
        machine_with({}).discard_training_state()


@pytest.mark.parametrize("parameters", [{}, {"early_stopping": True}], ids=["average", "best"])
def test_file_without_the_training_state_is_at_most_a_tenth_larger_than_the_parameters(parameters):
    X = (np.random.default_rng(0).random((50, 100)) < 0.3).astype(float)
    machine = machine_with({"hidden_layer_sizes": 100, "max_iter": 2, **parameters}).fit(X)
    n_bytes = machine._fitted.state.selected_parameters.nbytes
    assert len(pickle.dumps(machine)) > 5 * n_bytes  # negative control
    assert len(pickle.dumps(machine.discard_training_state())) < 1.1 * n_bytes
