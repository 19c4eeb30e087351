"""What the displays show is what the estimators compute; the rest is looked at."""

import subprocess
import sys

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from skwakesleep import HelmholtzMachine, plotting

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


def test_components_are_shown_as_images_the_strongest_first(machine):
    display = plotting.ComponentsDisplay.from_estimator(machine, image_shape=(3, 4), max_components=4)
    strengths = np.linalg.norm(display.components, axis=1)
    assert list(strengths) == sorted(np.linalg.norm(machine.components_, axis=1), reverse=True)[:4]
    shown = np.asarray(display.image_.get_array())
    np.testing.assert_array_equal(shown[:3, :4], display.components[0].reshape(3, 4))
    np.testing.assert_array_equal(shown[4:, 5:], display.components[3].reshape(3, 4))
    low, high = display.image_.get_clim()
    assert -low == high == abs(display.components).max()
    assert display.image_.colorbar.ax.get_ylabel() == "weight (log-odds)"


def test_weights_of_gaussian_columns_are_in_standard_deviations():
    machine = HelmholtzMachine(2, visible="gaussian", max_iter=2, tol=None, random_state=0).fit(X)
    assert plotting.ComponentsDisplay.from_estimator(machine, image_shape=(3, 4)).unit == "standard deviations"


def test_samples_beside_data(machine):
    display = plotting.SamplesDisplay.from_estimator(machine, X, n_images=6, image_shape=(4, 3), random_state=3)
    np.testing.assert_array_equal(display.data, X[:6])
    np.testing.assert_array_equal(display.samples, machine.sample(6, random_state=3))
    assert [ax.get_title() for ax in display.axes_] == ["Data", "Samples of the machine"]


def test_reconstructions_beside_data(machine):
    display = plotting.ReconstructionDisplay.from_estimator(machine, X, n_images=6, image_shape=(4, 3))
    np.testing.assert_allclose(display.samples, machine.inverse_transform(machine.transform(X[:6])))


def test_training_curves(machine):
    display = plotting.TrainingDisplay.from_estimator(machine)
    bound, held_out = (line.get_ydata() for line in display.lines_)
    np.testing.assert_array_equal(bound, machine.lower_bounds_)
    np.testing.assert_array_equal(held_out, machine.validation_scores_)
    assert len(plotting.TrainingDisplay([-3.0, -2.0]).plot().lines_) == 1


def test_dead_and_always_on_units_are_named(machine):
    display = plotting.ActivityDisplay(np.array([0.0, 0.5, 1.0, 0.002]), ["a", "b", "c", "d"]).plot()
    assert (display.dead_, display.always_on_) == (["a", "d"], ["c"])
    assert display.ax_.get_title() == "2 units are dead: a, d\n1 unit is always on: c"
    title = plotting.ActivityDisplay(np.full(2, 0.5), ["a", "b"]).plot().ax_.get_title()
    assert title == "no unit is dead\nno unit is always on"
    shown = plotting.ActivityDisplay.from_estimator(machine, X)
    np.testing.assert_allclose(shown.activity, machine.transform(X).mean(axis=0))


def test_scores_of_data_and_dreams(machine):
    display = plotting.ScoreDisplay.from_estimator(machine, {"data": X, "inverted": 1 - X}, n_dreams=20)
    np.testing.assert_array_equal(display.scores["inverted"], machine.score_samples(1 - X))
    assert len(display.scores["dreams"]) == 20
    assert list(plotting.ScoreDisplay.from_estimator(machine, X, n_dreams=0).scores) == ["data"]


def test_comparison_has_errors_of_paired_differences(machine):
    noise = np.random.default_rng(1).normal(size=400)
    display = plotting.ComparisonDisplay({"worse": noise - 1, "better": noise}).plot()
    (_, _, (bars,)) = display.ax_.containers[0]
    lengths = {round(segment[:, 0].mean()): np.ptp(segment[:, 0]) for segment in bars.get_segments()}
    assert max(lengths.values()) < 1e-9  # a constant difference has no error, whatever the scores do
    shown = plotting.ComparisonDisplay.from_estimators({"machine": machine}, X)
    np.testing.assert_array_equal(shown.scores["machine"], machine.score_samples(X))


def test_given_axes_are_drawn_on(machine):
    figure, ax = plt.subplots()
    display = plotting.TrainingDisplay.from_estimator(machine, ax=ax)
    assert (display.ax_, display.figure_) == (ax, figure)
    figure, axes = plt.subplots(1, 2)
    assert plotting.SamplesDisplay.from_estimator(machine, X, image_shape=(4, 3), axes=axes).figure_ is figure


@pytest.mark.parametrize(
    ("image_shape", "message"),
    [(None, "12 columns do not make square images"), ((3, 5), r"\(3, 5\) has 15 pixels, but there are 12 columns")],
)
def test_columns_that_make_no_images(machine, image_shape, message):
    with pytest.raises(ValueError, match=message):
        plotting.ComponentsDisplay.from_estimator(machine, image_shape=image_shape)


def test_an_unfitted_machine_has_nothing_to_show():
    with pytest.raises(NotFittedError):
        plotting.ComponentsDisplay.from_estimator(HelmholtzMachine())


def test_without_matplotlib_the_message_says_what_to_install():
    code = (
        "import sys; sys.modules['matplotlib'] = None; from skwakesleep import plotting\n"
        "try: plotting.TrainingDisplay([1.0]).plot()\n"
        "except ImportError as error: print(error)"
    )
    output = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert "pip install 'skwakesleep[plot]'" in output
