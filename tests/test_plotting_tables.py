"""The displays of tables show what the machine computes. How figures look is not tested."""

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from skwakesleep import HelmholtzMachine, plotting

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
plt = pytest.importorskip("matplotlib.pyplot")
pd = pytest.importorskip("pandas")

rng = np.random.default_rng(0)
TABLE = pd.DataFrame(
    {
        "color": rng.choice(["red", "green", "blue"], 60, p=[0.6, 0.3, 0.1]),
        "size": pd.Categorical(rng.choice(["small", "large"], 60), ["small", "large"], ordered=True),
        "legs": rng.integers(2, 5, 60),
        "weight": rng.normal(5, 1, 60),
    }
).mask(rng.random((60, 4)) < 0.1)
ROW = TABLE.dropna().head(1)


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def machine():
    return HelmholtzMachine(3, max_iter=3, tol=None, random_state=0).fit(TABLE)


def heights(ax):
    """Return the heights of the bars, those of the data and those of the samples."""
    return [[bar.get_height() for bar in bars] for bars in ax.containers]


def ticks(ax):
    return [label.get_text() for label in ax.get_xticklabels()]


def test_bars_are_the_shares_of_the_observed_values(machine):
    display = plotting.TableDisplay.from_estimator(machine, TABLE, random_state=3)
    samples = machine.sample(60, random_state=3)
    assert [ax.get_title() for ax in display.axes_] == ["color", "size", "legs", "weight"]
    for ax, name, order in zip(
        display.axes_, TABLE, (["blue", "green", "red"], ["small", "large"], [2, 3, 4]), strict=False
    ):
        assert ticks(ax) == list(map(str, order))
        for shown, rows in zip(heights(ax), (TABLE, samples), strict=True):
            np.testing.assert_allclose(shown, rows[name].value_counts(normalize=True).reindex(order, fill_value=0))


def test_numbers_of_many_values_are_a_histogram(machine):
    display = plotting.TableDisplay.from_estimator(machine, TABLE)
    ax = display.axes_[3]
    data, samples = ax.patches
    assert (data.get_xy()[:, 0] == samples.get_xy()[:, 0]).all()  # the same bins
    edges = np.unique(data.get_xy()[:, 0])
    density, _ = np.histogram(TABLE["weight"].dropna(), edges, density=True)
    assert data.get_xy()[:, 1].max() == pytest.approx(density.max())
    assert ax.get_ylabel() == "density"


def test_first_columns_are_shown_and_other_axes_are_empty(machine):
    figure, axes = plt.subplots(2, 2)
    display = plotting.TableDisplay.from_estimator(machine, TABLE, max_columns=2, axes=axes)
    assert (display.figure_, display.names) == (figure, ["color", "size"])
    assert [ax.axison for ax in axes.ravel()] == [True, True, False, False]


@pytest.mark.filterwarnings("error")
def test_table_may_be_an_array_or_a_frame_of_numbers():
    frame = pd.DataFrame({"a": rng.normal(size=40), "b": rng.integers(0, 2, 40)})
    for table, names in ((frame, ["a", "b"]), (frame.to_numpy(), ["x0", "x1"])):
        machine = HelmholtzMachine(2, visible=["continuous", "bernoulli"], max_iter=2, tol=None).fit(table)
        display = plotting.TableDisplay.from_estimator(machine, table)
        assert display.names == names
        np.testing.assert_array_equal(display.data, frame.to_numpy())
        assert ticks(display.axes_[1]) == ["0", "1"]


def test_column_without_a_value_is_shown_by_its_samples():
    display = plotting.TableDisplay(np.full((3, 1), np.nan), np.array([[0.0], [0.0], [1.0]]), ["size"]).plot()
    np.testing.assert_allclose(heights(display.axes_[0]), [[0, 0], [2 / 3, 1 / 3]])


def test_explanation_shows_the_scores_of_the_columns_the_lowest_first(machine):
    display = plotting.ExplanationDisplay.from_estimator(machine, ROW)
    np.testing.assert_array_equal(display.scores, machine.score_columns(ROW)[0])
    widths = [bar.get_width() for bar in display.ax_.patches]
    assert widths == sorted(machine.score_columns(ROW)[0])
    assert display.labels[2] == f"legs = {ROW['legs'].iloc[0]:g}"
    assert display.labels[0] == f"color = {ROW['color'].iloc[0]}"


def test_explanation_subtracts_the_medians_of_other_rows(machine):
    display = plotting.ExplanationDisplay.from_estimator(machine, ROW, X=TABLE)
    medians = np.nanmedian(machine.score_columns(TABLE), axis=0)
    widths = [bar.get_width() for bar in display.ax_.patches]
    np.testing.assert_allclose(widths, np.sort(machine.score_columns(ROW)[0] - medians))
    assert "median" in display.ax_.get_xlabel()
    lowest = plotting.ExplanationDisplay.from_estimator(machine, ROW, X=TABLE, max_columns=1)
    assert [bar.get_width() for bar in lowest.ax_.patches] == widths[:1]


def test_explanation_omits_missing_values_and_the_least_surprising_ones(machine):
    holed = ROW.assign(weight=np.nan)
    assert len(plotting.ExplanationDisplay.from_estimator(machine, holed).ax_.patches) == 3
    scores = machine.score_columns(ROW)[0]
    display = plotting.ExplanationDisplay.from_estimator(machine, ROW, max_columns=2)
    np.testing.assert_array_equal(np.sort(display.scores), np.sort(scores)[:2])


def test_explanation_of_several_rows_is_an_error(machine):
    with pytest.raises(ValueError, match="one row"):
        plotting.ExplanationDisplay.from_estimator(machine, TABLE.head(2))


@pytest.mark.parametrize("name", ["TableDisplay", "ExplanationDisplay"])
def test_unfitted_machine_is_an_error(name):
    with pytest.raises(NotFittedError):
        getattr(plotting, name).from_estimator(HelmholtzMachine(), ROW)
