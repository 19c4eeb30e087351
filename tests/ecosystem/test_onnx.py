"""ONNX: the exported graph gives the same features as transform."""

import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

import skwakesleep.contrib.onnx
from skwakesleep import AmortisedWakeSleep, HelmholtzMachine
from skwakesleep._engine.arrays.random import Streams
from skwakesleep._engine.machine.columns import KINDS, Block, Columns
from skwakesleep._engine.machine.fitted import FittedMachine
from skwakesleep._engine.machine.networks import Machine
from skwakesleep._engine.training.optimizers import SGD
from skwakesleep._engine.training.state import TrainingState

BINARY = (np.random.default_rng(0).random((60, 12)) < 0.3).astype(np.float64)
REAL = np.random.default_rng(1).normal(size=(60, 12)) * [1, 1e-2, 1e3, *np.ones(9)] + [1e4, 5, *np.zeros(10)]
MACHINES = {
    "Bernoulli": ({}, BINARY),
    "Gaussian": ({}, REAL),
    "deep": ({"hidden_layer_sizes": (7, 5, 3)}, BINARY),
    "deep, Gaussian": ({"hidden_layer_sizes": (7, 5, 3)}, REAL),
    "autoregressive recognition": ({"hidden_layer_sizes": (40, 5), "autoregressive": ("recognition", "prior")}, BINARY),
    "autoregressive, Gaussian": ({"autoregressive": ("recognition", "visible")}, REAL),
}
# Activations of units that hardly vary are differences of close numbers, divided by 1e-3 at least.
TOLERANCE = {np.float32: 2e-4, np.float64: 1e-12}
every_machine = pytest.mark.parametrize(("parameters", "X"), MACHINES.values(), ids=MACHINES)
each_precision = pytest.mark.parametrize("dtype", TOLERANCE)


def fitted(parameters, X):
    # Autoregressive weights start at zero; 20 epochs make their effect on the features visible.
    machine = HelmholtzMachine(**({"hidden_layer_sizes": 6, "random_state": 0, "tol": None} | parameters))
    return machine.set_params(max_iter=20, learning_rate_init=1.0, batch_size=10).fit(X)


@pytest.fixture
def export():
    """Convert an estimator, and return a function that evaluates the graph on rows."""
    skl2onnx = pytest.importorskip("skl2onnx", reason="skl2onnx is not installed")
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    skwakesleep.contrib.onnx.register()

    def exported(estimator, X, **options):
        graph = skl2onnx.to_onnx(estimator, X[:1], **options)
        session = runtime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
        return lambda rows: session.run(None, {session.get_inputs()[0].name: rows})

    return exported


@each_precision
@every_machine
def test_graph_equals_transform(parameters, X, dtype, export):
    X = X.astype(dtype)
    machine = fitted(parameters, X)
    (features,) = export(machine, X)(X)
    assert features.dtype == dtype
    assert_allclose(features, machine.transform(X), atol=TOLERANCE[dtype])


@each_precision
@every_machine
def test_graph_equals_transform_for_any_number_of_rows(parameters, X, dtype, export):
    X = X.astype(dtype)
    machine = fitted(parameters, X)
    evaluate = export(machine, X)
    for n_rows in 1, 7:
        assert_allclose(evaluate(X[:n_rows])[0], machine.transform(X[:n_rows]), atol=TOLERANCE[dtype])


def test_graph_bounds_extreme_values(export):
    machine = fitted({}, REAL)
    X = REAL.copy()
    X[:, 0] += 1e6 * np.arange(len(X))
    assert_allclose(export(machine, X)(X)[0], machine.transform(X), atol=1e-12)


@pytest.mark.parametrize("autoregressive", ["prior", "recognition"])
def test_graph_of_a_pipeline(autoregressive, export):
    y = np.arange(len(REAL)) % 3
    options = {"autoregressive": autoregressive, "max_iter": 5, "tol": None, "random_state": 0}
    machine = HelmholtzMachine((6, 4), alpha=0, **options)  # a scaler makes rounding errors of constant features large
    pipeline = make_pipeline(MinMaxScaler(clip=True), machine, StandardScaler(), LogisticRegression())
    X = REAL.astype(np.float32)
    labels, probabilities = export(pipeline.fit(X, y), X, options={"zipmap": False})(X)
    assert_allclose(probabilities, pipeline.predict_proba(X), atol=1e-5)
    assert (labels == pipeline.predict(X)).mean() > 0.95  # except for ties
    assert np.ptp(probabilities) > 0.05


def test_graph_accepts_integers(export):
    X = BINARY.astype(np.int64)
    machine = fitted({}, X)
    assert_allclose(export(machine, X)(X)[0], machine.transform(X), atol=1e-5)


def test_exporting_amortised_estimator_raises(export):
    estimator = AmortisedWakeSleep(n_sleep=60, max_iter=2, random_state=0).fit(REAL[:, 3:])
    with pytest.raises(NotImplementedError, match="AmortisedWakeSleep cannot be exported"):
        export(estimator, REAL[:, 3:])


def test_missing_package_raises(monkeypatch):
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    with pytest.raises(ImportError, match="pip install skl2onnx"):
        skwakesleep.contrib.onnx.register()


@each_precision
def test_columns_of_several_kinds_are_put_in_the_order_of_the_units(export, dtype):
    X = REAL.astype(dtype)
    X[:, 1::2] = BINARY[:, 1::2]
    places = {"bernoulli": np.arange(1, 12, 2), "gaussian": np.arange(0, 12, 2)}
    machine = fitted({"visible": "gaussian"}, X)
    blocks = {kind: Block(KINDS[kind].codec.of_table(X[:, columns]), columns) for kind, columns in places.items()}
    mixed = Machine(Columns(blocks), (6,))
    parameters = np.random.default_rng(2).normal(size=mixed.layout.size).astype(dtype)
    state = TrainingState(parameters, SGD(0.1), Streams(0))
    machine._fitted = FittedMachine(mixed, state)
    (features,) = export(machine, X)(X)
    assert_allclose(features, machine.transform(X), atol=TOLERANCE[dtype])


@pytest.mark.parametrize("kind", ["categorical", "ordinal", "count", "continuous"])
def test_columns_with_cells_are_refused(kind, export):
    machine = fitted({"visible": kind}, BINARY)
    with pytest.raises(NotImplementedError, match=f"columns of kind '{kind}' cannot be exported"):
        export(machine, BINARY)


def test_machines_fitted_to_missing_values_are_refused(export):
    machine = fitted({"visible": "bernoulli"}, np.where(np.eye(60, 12), np.nan, BINARY))
    with pytest.raises(NotImplementedError, match="missing values in the data of the first fit cannot be exported"):
        export(machine, BINARY)
