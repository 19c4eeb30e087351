"""The displays show what the estimators compute. How figures look is not tested."""

import sys
from copy import copy

import numpy as np
import pytest
from scipy import sparse
from scipy.special import expit
from sklearn.exceptions import NotFittedError

from skwakesleep import HelmholtzMachine, plotting
from skwakesleep.reference._comparison import compare_scores

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
plt = pytest.importorskip("matplotlib.pyplot")

X = (np.random.default_rng(0).random((60, 12)) < 0.4).astype(float)


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def machine():
    return HelmholtzMachine(5, max_iter=3, tol=None, early_stopping=True, random_state=0).fit(X)


def test_components_are_images_in_order_of_their_norm(machine):
    display = plotting.ComponentsDisplay.from_estimator(machine, image_shape=(3, 4), max_components=4)
    strengths = np.linalg.norm(display.components, axis=1)
    assert list(strengths) == sorted(np.linalg.norm(machine.components_, axis=1), reverse=True)[:4]
    shown = np.asarray(display.image_.get_array())
    np.testing.assert_array_equal(shown[:3, :4], display.components[0].reshape(3, 4))
    np.testing.assert_array_equal(shown[4:, 5:], display.components[3].reshape(3, 4))
    low, high = display.image_.get_clim()
    assert -low == high == abs(display.components).max()
    assert display.image_.colorbar.ax.get_ylabel() == "weight (log-odds)"


def test_unit_of_gaussian_weights_is_standard_deviations():
    machine = HelmholtzMachine(2, visible="gaussian", max_iter=2, tol=None, random_state=0).fit(X)
    assert plotting.ComponentsDisplay.from_estimator(machine, image_shape=(3, 4)).unit == "standard deviations"


def test_samples_are_shown_next_to_the_data(machine):
    display = plotting.SamplesDisplay.from_estimator(machine, X, n_images=6, image_shape=(4, 3), random_state=3)
    np.testing.assert_array_equal(display.data, X[:6])
    np.testing.assert_array_equal(display.samples, machine.sample(6, random_state=3))
    assert [ax.get_title() for ax in display.axes_] == ["Data", "Samples of the machine"]


def test_reconstructions_are_those_of_inverse_transform(machine):
    display = plotting.ReconstructionDisplay.from_estimator(machine, X, n_images=6, image_shape=(4, 3))
    np.testing.assert_allclose(display.samples, machine.inverse_transform(machine.transform(X[:6])))


def test_training_curves_are_the_bounds_and_validation_scores(machine):
    display = plotting.TrainingDisplay.from_estimator(machine)
    bound, held_out = (line.get_ydata() for line in display.lines_)
    np.testing.assert_array_equal(bound, machine.lower_bounds_)
    np.testing.assert_array_equal(held_out, machine.validation_scores_)
    assert len(plotting.TrainingDisplay([-3.0, -2.0]).plot().lines_) == 1


def test_title_lists_units_that_are_always_off_or_on(machine):
    display = plotting.ActivityDisplay(np.array([0.0, 0.5, 1.0, 0.002]), ["a", "b", "c", "d"]).plot()
    assert (display.dead_, display.always_on_) == (["a", "d"], ["c"])
    assert display.ax_.get_title() == "2 units are dead: a, d\n1 unit is always on: c"
    title = plotting.ActivityDisplay(np.full(2, 0.5), ["a", "b"]).plot().ax_.get_title()
    assert title == "no unit is dead\nno unit is always on"


def test_activity_is_the_mean_probability(machine):
    values = X
    for weights, intercepts in zip(machine.recognition_coefs_, machine.recognition_intercepts_, strict=True):
        values = expit(values @ weights + intercepts)
    shown = plotting.ActivityDisplay.from_estimator(machine, X)
    np.testing.assert_allclose(shown.activity, values.mean(axis=0), rtol=1e-5)
    assert machine.output == "activations"


def test_scores_of_data_and_dreams_are_shown(machine):
    display = plotting.ScoreDisplay.from_estimator(machine, {"data": X, "inverted": 1 - X}, n_dreams=20)
    np.testing.assert_array_equal(display.scores["inverted"], machine.score_samples(1 - X))
    assert len(display.scores["dreams"]) == 20
    assert list(plotting.ScoreDisplay.from_estimator(machine, X, n_dreams=0).scores) == ["data"]


def test_error_bars_of_a_comparison_are_of_paired_differences(machine):
    noise = np.random.default_rng(1).normal(size=400)
    display = plotting.ComparisonDisplay({"worse": noise - 1, "better": noise}).plot()
    (_, _, (bars,)) = display.ax_.containers[0]
    lengths = {round(segment[:, 0].mean()): np.ptp(segment[:, 0]) for segment in bars.get_segments()}
    assert max(lengths.values()) < 1e-9  # the difference is constant, the scores are not
    shown = plotting.ComparisonDisplay.from_estimators({"machine": machine}, X)
    np.testing.assert_array_equal(shown.scores["machine"], machine.score_samples(X))


def test_display_draws_on_given_axes(machine):
    figure, ax = plt.subplots()
    display = plotting.TrainingDisplay.from_estimator(machine, ax=ax)
    assert (display.ax_, display.figure_) == (ax, figure)
    figure, axes = plt.subplots(1, 2)
    assert plotting.SamplesDisplay.from_estimator(machine, X, image_shape=(4, 3), axes=axes).figure_ is figure


def test_image_shape_that_differs_from_the_columns_is_an_error(machine):
    with pytest.raises(ValueError, match=r"\(3, 5\) has 15 pixels, but there are 12 columns"):
        plotting.ComponentsDisplay.from_estimator(machine, image_shape=(3, 5))


def test_columns_are_shown_as_a_table_if_their_number_is_not_a_square(machine):
    display = plotting.ComponentsDisplay.from_estimator(machine)
    assert display.image_shape == (1, 12)
    np.testing.assert_array_equal(display.image_.get_array(), display.components)
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("column", "hidden unit")


def image_of(ax):
    return np.asarray(ax.get_images()[0].get_array())


def test_each_column_of_a_table_has_its_own_scale():
    data, samples = np.array([[0.0, 5000.0, 7.0], [1.0, 6000.0, 7.0]]), np.array([[2.0, 5500.0, 7.0]])
    display = plotting.SamplesDisplay(data, samples, (1, 3)).plot()
    np.testing.assert_allclose(image_of(display.axes_[0]), [[0, 0, 0], [0.5, 1, 0]])
    np.testing.assert_allclose(image_of(display.axes_[1]), [[1, 0.5, 0]])


@pytest.mark.parametrize("image_shape", [(1, 3), (3, 1)])
def test_values_between_zero_and_one_are_not_rescaled(image_shape):
    display = plotting.SamplesDisplay(np.full((1, 3), 0.25), np.ones((1, 3)), image_shape).plot()
    assert (image_of(display.axes_[0]) == 0.25).all()
    assert (image_of(display.axes_[1]) == 1).all()


def test_pixels_of_images_have_a_common_scale():
    display = plotting.SamplesDisplay(np.array([[-2.0, 0.0]]), np.array([[2.0, 2.0]]), (2, 1)).plot()
    np.testing.assert_allclose(image_of(display.axes_[0]).ravel(), [0, 0.5])


def test_single_epoch_is_shown_as_a_marker():
    (line,) = plotting.TrainingDisplay([-3.0]).plot().lines_
    assert line.get_marker() == "o"
    assert plotting.TrainingDisplay([]).plot().lines_ == []


TABLES = {
    "one column": X[:, :1],
    "one row": X[:1],
    "real columns of different units": np.random.default_rng(1).normal(size=(30, 5)) * [1e-3, 1, 1e3, 1, 1],
    "constant": np.ones((9, 4)),
    "list": X[:20].tolist(),
    "sparse": sparse.coo_array(X),
    "float32": X.astype(np.float32),
}


@pytest.mark.parametrize("name", [*TABLES, "pandas", "pandas with labels", "polars"])
def test_displays_accept_table(name):
    """Warnings, for example about column names, are errors."""
    table = TABLES.get(name, X)
    if name in ("pandas", "polars"):
        table = pytest.importorskip(name).DataFrame({f"column {j}": X[:, j] for j in range(5)})
    elif name == "pandas with labels":
        table = pytest.importorskip("pandas").DataFrame(X, index=np.linspace(5, 3, len(X)))
    machine = HelmholtzMachine(1, max_iter=1, tol=None, batch_size="auto", random_state=0).fit(table)
    plotting.ComponentsDisplay.from_estimator(machine)
    assert len(plotting.SamplesDisplay.from_estimator(machine, table, n_images=3).data) == min(3, n_rows(table))
    plotting.ReconstructionDisplay.from_estimator(machine, table, n_images=3)
    plotting.TrainingDisplay.from_estimator(machine)
    plotting.ActivityDisplay.from_estimator(machine, table)
    display = plotting.ScoreDisplay.from_estimator(machine, table, n_dreams=5)
    display.figure_.canvas.draw()
    if n_rows(table) > 1:
        plotting.ComparisonDisplay.from_estimators({"first": machine, "second": machine}, table)


def n_rows(table):
    return table.shape[0] if hasattr(table, "shape") else len(table)


def test_message_for_a_bad_table_contains_the_column(machine):
    with pytest.raises(ValueError, match="column 1 of X holds the string 'Rome'"):
        plotting.SamplesDisplay.from_estimator(machine, [[1.0, "Rome"]])


def test_error_bars_of_a_comparison_equal_the_errors_of_compare_densities():
    scores = {"worse": np.array([-3.0, -1.0, -2.0]), "better": np.array([-1.0, -0.5, -1.0])}
    (_, _, (bars,)) = plotting.ComparisonDisplay(scores).plot().ax_.containers[0]
    lengths = sorted(np.ptp(segment[:, 0]) for segment in bars.get_segments())
    np.testing.assert_allclose(lengths, [0, 2 * np.std([2, 0.5, 1], ddof=1) / np.sqrt(3)], atol=1e-12)
    np.testing.assert_allclose(compare_scores(scores)["difference_error"], np.array(lengths) / 2, atol=1e-12)


def test_unfitted_machine_is_an_error():
    with pytest.raises(NotFittedError):
        plotting.ComponentsDisplay.from_estimator(HelmholtzMachine())


def test_message_without_matplotlib_gives_the_install_command(monkeypatch):
    for module in ("matplotlib", "matplotlib.pyplot"):
        monkeypatch.setitem(sys.modules, module, None)  # makes the import fail
    with pytest.raises(ImportError, match=r"pip install 'skwakesleep\[plot\]'"):
        plotting.TrainingDisplay([1.0]).plot()


@pytest.mark.parametrize("visible", ["count", ["gaussian", *["bernoulli"] * 11]])
def test_weights_of_columns_without_one_weight_each_are_not_drawn(visible):
    fitted = HelmholtzMachine(2, visible=visible, max_iter=1, tol=None).fit(X)
    with pytest.raises(ValueError, match=f"Got columns of kind '{fitted.visible_[0]}'"):
        plotting.ComponentsDisplay.from_estimator(fitted)


def test_samples_in_a_data_frame_are_drawn(machine):
    pytest.importorskip("pandas")
    framed = copy(machine).set_output(transform="pandas")
    for display in (plotting.SamplesDisplay, plotting.ReconstructionDisplay):
        expected, shown = (display.from_estimator(each, X).samples for each in (machine, framed))
        np.testing.assert_array_equal(shown, expected)


def deviation_display(cls, **result):
    """Return a display of three deviations, drawn."""
    return cls({"gain": 0.1, "gain_error": 0.01, "converged": False, "p_value": 0.01} | result).plot()


def test_deviations_are_in_order_and_large_ones_are_marked():
    table = {
        "parameter": np.array(["a", "b", "c"]),
        "shift": np.array([0.5, -4.0, 1.5]),
        "shift_error": np.full(3, 0.3),
    }
    display = deviation_display(plotting.ConvergenceDisplay, table=table)
    assert [label.get_text() for label in display.ax_.get_yticklabels()] == ["a", "c", "b"]
    assert display.ax_.get_title() == "Gain of a further step 0.100 ± 0.010 nats per row: not converged"
    plain, marked = (line.get_xdata().tolist() for line in display.ax_.get_lines()[1:])
    assert (plain, marked) == ([0.5, 1.5], [-4.0])
    table = {
        "statistic": np.array(list("abc")),
        "z": np.array([3.0, -2.5, 1.0]),
        "p_adjusted": np.array([0.2, 0.04, 1]),
    }
    display = deviation_display(plotting.DreamComparisonDisplay, table=table)
    assert [line.get_xdata().tolist() for line in display.ax_.get_lines()[1:]] == [[1.0, 3.0], [-2.5]]


def test_at_most_thirty_deviations_are_drawn():
    shifts = np.arange(50.0)
    table = {"parameter": np.array([f"p{n}" for n in range(50)]), "shift": shifts, "shift_error": 0 * shifts}
    labels = deviation_display(plotting.ConvergenceDisplay, table=table).ax_.get_yticklabels()
    assert [label.get_text() for label in labels] == [f"p{n}" for n in range(20, 50)]


def test_recovered_parameters_are_drawn_against_those_simulated_from():
    table = {
        "fitted": np.array([1.0, 2.0]),
        "recovered": np.array([1.1, 2.9]),
        "recovered_std": np.array([0.2, 0.3]),
        "p_adjusted": np.array([np.nan, 0.01]),
    }
    result = {"p_value": 0.5, "discrepancy": 2.5, "table": table, "refits": {"discrepancy": np.array([2.0, 3.0, 2.2])}}
    parameters, deviations = plotting.RecoveryDisplay(result).plot().axes_
    drawn = [line.get_xydata().tolist() for line in parameters.get_lines()[1:]]
    assert drawn == [[[1.0, 1.1]], [[2.0, 2.9]]]
    assert sum(bar.get_height() for bar in deviations.patches) == 3
    assert deviations.get_lines()[0].get_xdata() == [2.5, 2.5]
