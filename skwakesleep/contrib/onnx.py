"""ONNX export with skl2onnx: features without Python.

After `register`, skl2onnx converts a fitted `HelmholtzMachine`, alone or in a pipeline, to a graph that computes
`transform` in any ONNX runtime. Needs the package ``skl2onnx``.
"""

from typing import Any

import numpy as np

from skwakesleep import AmortisedWakeSleep, HelmholtzMachine

__all__ = ["register"]


def register() -> None:
    """Register the conversion of a `HelmholtzMachine` with skl2onnx.

    The graph computes `transform`, the means of the top hidden layer, in the precision of its input: double for
    ``DoubleTensorType``, single for others. It does not check whether Bernoulli columns are in [0, 1].

    The conversion of a machine with columns of other kinds than "bernoulli" and "gaussian", or that was fitted to
    missing values, raises `NotImplementedError`.

    Raises
    ------
    ImportError
        If skl2onnx is not installed.

    Notes
    -----
    Log-likelihoods and samples are not converted. `AmortisedWakeSleep` computes its features from new dreams by the
    model's own Python code; its conversion raises `NotImplementedError`.

    An autoregressive recognition network is a loop over its units (the operator ``Scan``).

    References
    ----------
    .. [1] ONNX: Open Neural Network Exchange, operator specification. https://onnx.ai/onnx/operators/

    Examples
    --------
    >>> import numpy as np
    >>> import skwakesleep.contrib.onnx
    >>> from skl2onnx import to_onnx
    >>> from skwakesleep import HelmholtzMachine
    >>> X = np.random.default_rng(0).integers(2, size=(50, 8)).astype(np.float32)
    >>> machine = HelmholtzMachine(4, max_iter=3, tol=None, random_state=0).fit(X)
    >>> skwakesleep.contrib.onnx.register()
    >>> graph = to_onnx(machine, X[:1]).SerializeToString()
    """
    try:
        from skl2onnx import update_registered_converter
    except ImportError as error:
        raise ImportError("ONNX export needs the package skl2onnx. Install it: pip install skl2onnx") from error
    update_registered_converter(HelmholtzMachine, "SkwakesleepHelmholtzMachine", _declare_output, _convert)
    update_registered_converter(AmortisedWakeSleep, "SkwakesleepAmortisedWakeSleep", _refuse, _convert)


def _refuse(operator: Any) -> None:
    """Raise an error in place of the declaration of the output, which comes first."""
    raise NotImplementedError(
        "AmortisedWakeSleep cannot be exported to ONNX: its transform regresses on new dreams of the model, which is "
        "Python code. Only HelmholtzMachine can."
    )


def _declare_output(operator: Any) -> None:
    """Declare the type and shape of the output."""
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    _check_columns(operator.raw_operator)
    rows = operator.inputs[0]
    kind = DoubleTensorType if isinstance(rows.type, DoubleTensorType) else FloatTensorType
    n_units = len(operator.raw_operator.prior_intercept_)
    operator.outputs[0].type = kind([rows.get_first_dimension(), n_units])


def _check_columns(machine: Any) -> None:
    """Raise an error for columns that the graph cannot encode."""
    columns = machine._fitted.machine.columns
    wrong = [f"columns of kind {kind!r}" for kind, block in columns.blocks.items() if block.codec.has_base]
    wrong += ["missing values in the data of the first fit"] if len(columns.with_holes) else []
    if wrong:
        raise NotImplementedError(
            f"A HelmholtzMachine with {' and '.join(wrong)} cannot be exported to ONNX, only one with complete "
            "columns of the kinds 'bernoulli' and 'gaussian'."
        )


def _convert(scope: Any, operator: Any, container: Any) -> None:
    """Add the recognition network to the graph, the layer nearest the data first."""
    from skl2onnx.common.data_types import DoubleTensorType

    machine = operator.raw_operator
    double = isinstance(operator.inputs[0].type, DoubleTensorType)
    graph = _Graph(scope, container, np.float64 if double else np.float32)
    values = _encoded(graph, machine._fitted.machine.columns, operator.inputs[0].full_name)
    triangles = machine.autoregressive_coefs_
    layers = zip(machine.recognition_coefs_, machine.recognition_intercepts_, strict=True)
    for depth, (coefs, intercept) in enumerate(layers):
        natural = graph.node("Add", graph.node("MatMul", values, coefs), intercept)
        triangle = triangles.get(f"recognition.{depth}")
        values = graph.node("Sigmoid", natural) if triangle is None else _sequential_means(graph, natural, triangle)
    if machine.output == "activations":
        if triangle is not None:  # the log-odds given the means of the units before
            natural = graph.node("Add", natural, graph.node("MatMul", values, triangle))
        roots = graph.node("Sigmoid", graph.node("Mul", natural, 0.5))
        scale = machine._fitted.activation_scale
        values = graph.node("Div", graph.node("Sub", roots, scale.mean), scale.deviation)
    graph.node("Identity", values, output=operator.outputs[0].full_name)


class _Graph:
    """Adds nodes to a graph; arrays among their inputs become constants in the graph's precision."""

    def __init__(self, scope: Any, container: Any, dtype: Any) -> None:
        self._scope = scope
        self._container = container
        self.dtype = dtype

    def node(self, kind: str, *inputs: Any, output: str | None = None, **attributes: Any) -> str:
        """Add a node and return the name of its output, the last where it has several."""
        names = [name if isinstance(name, str) else self.constant(name, self.dtype) for name in inputs]
        unused = [self._scope.get_unique_variable_name("unused")] if kind == "Scan" else []
        output = output or self._scope.get_unique_variable_name(kind.lower())
        name = self._scope.get_unique_operator_name(kind)
        self._container.add_node(kind, names, [*unused, output], name=name, **attributes)
        return output

    def constant(self, array: Any, dtype: Any) -> str:
        """Add a constant and return its name."""
        from onnx.numpy_helper import from_array

        name = self._scope.get_unique_variable_name("constant")
        self._container.add_initializer(name, None, None, from_array(np.asarray(array, dtype), name))
        return name

    def cast(self, values: str, dtype: Any) -> str:
        """Convert values to a precision."""
        from onnx.helper import np_dtype_to_tensor_dtype

        return self.node("Cast", values, to=np_dtype_to_tensor_dtype(np.dtype(dtype)))


def _encoded(graph: _Graph, visible: Any, columns: str) -> str:
    """Standardize Gaussian columns, in double precision: columns with a large mean lose digits in single precision."""
    if visible.keeps_zeros:
        return graph.cast(columns, graph.dtype)
    location, scale = (graph.constant(array, np.float64) for array in (visible.location, visible.scale))
    deviations = graph.node("Sub", graph.cast(columns, np.float64), location)
    units = graph.cast(graph.node("Div", deviations, scale), graph.dtype)
    if not visible.are_units:
        units = graph.node("Gather", units, graph.constant(visible.order, np.int64), axis=1)
    return graph.node("Max", graph.node("Min", units, visible.largest_input), -visible.largest_input)


def _sequential_means(graph: _Graph, natural: str, triangle: Any) -> str:
    """Compute the means of an autoregressive layer: each unit depends on the means of the units before it."""
    n_units = len(triangle)
    chosen = np.eye(n_units)[:, :, np.newaxis]
    scan = {"body": _one_unit(graph.dtype, n_units), "num_scan_inputs": 2, "scan_output_axes": [1]}
    means = graph.node("Scan", natural, chosen, triangle[:, np.newaxis, :], **scan)  # (n_rows, n_units, 1)
    return graph.node("Reshape", means, graph.constant([0, n_units], np.int64))


def _one_unit(dtype: Any, n_units: int) -> Any:
    """Return the body of the loop: the mean of one unit, and its effect on the natural parameters of the others."""
    from onnx import helper

    number = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))

    def variable(name: str, *shape: int | str) -> Any:
        return helper.make_tensor_value_info(name, number, shape)

    # Only the unit's own column and row of weights enter, so that a step costs O(n_units). "chosen" is a unit vector.
    nodes = [
        helper.make_node("MatMul", ["natural", "chosen"], ["own"]),
        helper.make_node("Sigmoid", ["own"], ["mean"]),
        helper.make_node("MatMul", ["mean", "row"], ["contribution"]),
        helper.make_node("Add", ["natural", "contribution"], ["updated"]),
    ]
    inputs = [variable("natural", "n_rows", n_units), variable("chosen", n_units, 1), variable("row", 1, n_units)]
    outputs = [variable("updated", "n_rows", n_units), variable("mean", "n_rows", 1)]
    return helper.make_graph(nodes, "one unit", inputs, outputs)
