"""Machines for the tests: translated from the oracle's models, random, and with a trained recognition network."""

from collections.abc import Sequence
from itertools import product

import numpy as np

from skwakesleep._engine.arrays.numpy_backend import NumpyBackend
from skwakesleep._engine.arrays.random import FineNoise, Streams
from skwakesleep._engine.machine.codecs import Standardization, UnitInterval
from skwakesleep._engine.machine.columns import Block, Columns
from skwakesleep._engine.machine.networks import Machine
from skwakesleep._engine.machine.rows import Visible
from skwakesleep._engine.machine.wake_sleep import WakeSleep
from skwakesleep._engine.posterior.annealing import AnnealedImportanceSampling
from skwakesleep._engine.posterior.enumeration import Enumeration
from skwakesleep._engine.training.optimizers import Adam
from tests.oracle import Model, random_model

VARIANCE_FLOOR = 1e-4
EVERYWHERE = ("prior", "visible", "hidden", "recognition")


# ---------------------------------------------------------------------- columns


def bernoulli_columns(n_columns: int) -> Columns:
    """Return binary columns of mean one half."""
    return Columns({"bernoulli": Block(UnitInterval(np.full(n_columns, 0.5), 1000), np.arange(n_columns))})


def gaussian_columns(location: np.ndarray, scale: np.ndarray) -> Columns:
    """Return Gaussian columns with the smallest variance `VARIANCE_FLOOR`."""
    return Columns({"gaussian": Block(standardization(location, scale), np.arange(len(scale)))})


def mixed_columns(n_columns: int) -> Columns:
    """Return columns of which each second one is binary, and the others are Gaussian, from the first on."""
    real, binary = np.arange(0, n_columns, 2), np.arange(1, n_columns, 2)
    return Columns(
        {
            "bernoulli": Block(UnitInterval(np.full(len(binary), 0.5), 1000), binary),
            "gaussian": Block(standardization(1.0 - real, 0.5 + real), real),
        }
    )


def standardization(location: np.ndarray, scale: np.ndarray) -> Standardization:
    """Return a standardization with the smallest variance `VARIANCE_FLOOR`."""
    return Standardization(location, scale, np.full(len(scale), VARIANCE_FLOOR))


def columns_of(kind: str, n_columns: int) -> Columns:
    """Return columns that are "bernoulli", "gaussian" (of location zero and scale one) or "mixed"."""
    if kind == "mixed":
        return mixed_columns(n_columns)
    if kind == "gaussian":
        return gaussian_columns(np.zeros(n_columns), np.ones(n_columns))
    return bernoulli_columns(n_columns)


def visible(units: np.ndarray) -> Visible:
    """Return rows of units ``(B, 1, N)`` that are all observed."""
    return Visible(units, units)


# ---------------------------------------------------------------------- the oracle's models


def machine_of(model: Model) -> tuple[Machine, np.ndarray]:
    """Return a machine and the flat parameters that make it the oracle's model."""
    n_visible, *hidden = model.sizes
    machine = Machine(columns_of("bernoulli" if model.log_variance is None else "gaussian", n_visible), hidden)
    flat = np.zeros(machine.layout.size)
    for target, source in zip(_arrays(model_of(machine, flat)), _arrays(model), strict=True):
        target[...] = source
    return machine, flat


def model_of(machine: Machine, flat: np.ndarray) -> Model:
    """Return views of flat parameters, or of a flat gradient, under the oracle's names."""
    generative, recognition = machine.views(flat)
    prior, *downward = generative
    upward = downward[::-1]
    return Model(
        prior["intercept"],
        [views["weights"] for views in upward],
        [views["intercept"] for views in upward],
        [views["weights"] for views in recognition],
        [views["intercept"] for views in recognition],
        upward[0].get("log_variance"),
        VARIANCE_FLOOR,
    )


def oracle_machine(sizes: Sequence[int], seed: int, **options) -> tuple[Model, Machine, np.ndarray]:
    """Return a random model of the oracle, with the same smallest variance, and its machine."""
    model = random_model(list(sizes), seed, **options)._replace(variance_floor=VARIANCE_FLOOR)
    return model, *machine_of(model)


def _arrays(model: Model) -> list[np.ndarray]:
    return [*model.generative, *model.recognition]


# ---------------------------------------------------------------------- other machines


def random_machine(
    sizes: Sequence[int],
    seed: int | np.random.Generator,
    *,
    kind: str = "bernoulli",
    autoregressive: Sequence[str] = (),
    scale: float = 1.0,
) -> tuple[Machine, np.ndarray]:
    """Return a machine with normal parameters; the sizes of its layers start with the visible one."""
    n_visible, *hidden = sizes
    machine = Machine(columns_of(kind, n_visible), hidden, autoregressive)
    flat = scale * np.random.default_rng(seed).normal(size=machine.layout.size)
    for views in machine.layout.views(flat).values():
        if "triangle" in views:
            views["triangle"][...] = np.triu(views["triangle"], k=1)
    return machine, flat


def taught_machine(
    sizes: Sequence[int], seed: int, *, scale: float = 1.0, autoregressive: Sequence[str] = (), n_lessons: int = 200
) -> tuple[Machine, np.ndarray]:
    """Return a random machine whose recognition network was trained on dreams."""
    machine, flat = random_machine(sizes, seed, scale=scale, autoregressive=autoregressive)
    machine.recognition_part(flat)[...] = 0
    teach(machine, flat, seed=seed, n_lessons=n_lessons)
    return machine, flat


def teach(machine: Machine, flat: np.ndarray, *, seed: int = 0, n_lessons: int = 200) -> None:
    """Train the recognition network on dreams, in place."""
    objective = wake_sleep(machine, flat, "sleep", 1, seed=seed)
    optimizer = Adam(0.1, np.ones_like(flat))
    for _ in range(n_lessons):
        objective(Visible.dense(np.zeros((100, machine.columns.n_units))))
        gradient = np.zeros_like(flat)
        machine.recognition_part(gradient)[...] = machine.recognition_part(objective.gradient)
        optimizer.ascend(flat, gradient, NumpyBackend())


# ---------------------------------------------------------------------- use of machines


def wake_sleep(
    machine: Machine,
    flat: np.ndarray,
    rule: str,
    n_particles: int,
    *,
    seed: int = 0,
    alpha: float = 0.0,
    n_rows: int = 100,
    batch_size: int = 10,
    backend: NumpyBackend | None = None,
) -> WakeSleep:
    """Return the objective of a learning rule with streams of its own."""
    return WakeSleep(
        machine,
        flat,
        backend or NumpyBackend(),
        n_particles=n_particles,
        recognition_update=rule,
        alpha=alpha,
        n_rows=n_rows,
        batch_size=batch_size,
        streams=Streams(seed),
    )


def dreams(
    machine: Machine, flat: np.ndarray, n_rows: int, seed: int | np.random.SeedSequence = 2
) -> tuple[list[np.ndarray], np.ndarray]:
    """Return hidden layers, bottom up, and visible units, ``(n_rows, 1, n)``, drawn from the generative network."""
    noise = FineNoise(np.random.default_rng(seed))
    *causes, x = machine.bind(flat, NumpyBackend()).generative.sample(None, (n_rows, 1), noise)
    return causes[::-1], x


def exact_log_likelihood(machine: Machine, flat: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return the log-likelihood of rows of units ``(B, 1, D)`` by enumeration."""
    return enumeration(machine, flat)(visible(x)).log_likelihood


def enumeration(machine: Machine, flat: np.ndarray) -> Enumeration:
    """Return the exact posterior of a machine."""
    sampling = AnnealedImportanceSampling(machine, machine.bind(flat, NumpyBackend(by_row=True)), 100)
    return Enumeration(machine.columns, machine.bind(flat, NumpyBackend()), NumpyBackend(), sampling)


# ---------------------------------------------------------------------- tables


def table_of(kinds: Sequence[str], n_rows: int, rng: np.random.Generator) -> np.ndarray:
    """Return rows whose columns are of the given kinds and depend on one common number."""
    common = rng.normal(size=n_rows)
    table = np.empty((n_rows, len(kinds)))
    for place, kind in enumerate(kinds):
        own = common + rng.normal(size=n_rows)
        table[:, place] = {
            "bernoulli": own > 0.3,
            "gaussian": 5 - 3 * own,
            "categorical": np.digitize(own, [-1, 0.5, 1]) - (place == 0) * (own > 1),
            "ordinal": np.digitize(own, [-1, 0, 0.7, 1.5]),
            "count": np.floor(np.exp(own + 1)),
            "continuous": np.where(own > 0.8, 0, 10 * own + 100),
        }[kind]
    return table


def table_machine(
    kinds: Sequence[str],
    hidden: Sequence[int],
    seed: int,
    *,
    autoregressive: Sequence[str] = (),
    scale: float = 0.7,
    n_rows: int = 80,
) -> tuple[Machine, np.ndarray, np.ndarray]:
    """Return a machine with normal parameters for columns of the given kinds with holes, and the complete table."""
    rng = np.random.default_rng(seed)
    table = table_of(kinds, n_rows, rng)
    holes = np.where(rng.random(table.shape) < 0.1, np.nan, table)
    machine = Machine(Columns.of_table(kinds, holes), hidden, autoregressive)
    flat = scale * rng.normal(size=machine.layout.size)
    keep_triangles(machine, flat)
    return machine, flat, table


def keep_triangles(machine: Machine, flat: np.ndarray) -> None:
    """Set the weights of units to their own column and to those before it to zero, in place."""
    for layer, views in zip(machine.layers, machine.layout.views(flat).values(), strict=True):
        if "triangle" in views:
            widths = [group.stop - group.start for group in layer.units.family.groups(layer.n_units)]
            group = np.repeat(np.arange(len(widths)), widths)
            views["triangle"][group[:, np.newaxis] >= group] = 0


def with_all_holes(row: np.ndarray) -> np.ndarray:
    """Return a row with each pattern of missing values, the complete row first and the empty one last."""
    patterns = np.array(list(product((False, True), repeat=len(row))))
    return np.where(patterns, np.nan, row)
