"""Translation between the oracle's models and the engine's machines."""

from collections.abc import Sequence

import numpy as np

from skwakesleep._engine.arrays.random import Streams
from skwakesleep._engine.machine.families import Bernoulli, Gaussian
from skwakesleep._engine.machine.networks import Machine
from skwakesleep._engine.machine.rows import Batch
from skwakesleep._engine.machine.wake_sleep import WakeSleep
from skwakesleep._engine.training.optimizers import Adam
from tests.oracle import Model, random_model

VARIANCE_FLOOR = 1e-4


def gaussian(location: np.ndarray, scale: np.ndarray) -> Gaussian:
    """Return Gaussian columns of equal resolution."""
    return Gaussian(location, scale, np.full(len(scale), VARIANCE_FLOOR))


def machine_of(model: Model) -> tuple[Machine, np.ndarray]:
    """Return an engine machine and the flat parameters that make it the oracle's model."""
    n_visible = model.sizes[0]
    standard = gaussian(np.zeros(n_visible), np.ones(n_visible))
    machine = Machine(Bernoulli() if model.log_variance is None else standard, model.sizes, n_active=1.0)
    flat = np.zeros(machine.layout.size)
    for target, source in zip(_arrays(model_of(machine, flat)), _arrays(model), strict=True):
        target[...] = source
    return machine, flat


def model_of(machine: Machine, flat: np.ndarray) -> Model:
    """Return views of flat parameters, or of a flat gradient, under the oracle's names."""
    generative, recognition = machine.bind(flat)
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


def random_machine(sizes: Sequence[int], seed: int, **options) -> tuple[Model, Machine, np.ndarray]:
    """Return a random model of the oracle, with the engine's variance floor, and its machine."""
    model = random_model(list(sizes), seed, **options)._replace(variance_floor=VARIANCE_FLOOR)
    return model, *machine_of(model)


def wake_sleep(machine: Machine, flat: np.ndarray, rule: str, n_particles: int, *, seed: int = 0, alpha: float = 0.0):
    """Return the objective of a learning rule with streams of its own."""
    return WakeSleep(
        machine, flat, n_particles=n_particles, recognition_update=rule, alpha=alpha, streams=Streams(seed)
    )


def _arrays(model: Model) -> list[np.ndarray]:
    return [*model.generative, *model.recognition]


def taught_machine(
    sizes: Sequence[int], seed: int, *, scale: float = 1.0, autoregressive: Sequence[str] = (), n_lessons: int = 200
) -> tuple[Machine, np.ndarray]:
    """Return a random machine whose recognition network has learned from its dreams, as training would leave it."""
    rng = np.random.default_rng(seed)
    machine = Machine(Bernoulli(), sizes, n_active=1.0, autoregressive=autoregressive)
    flat = scale * rng.standard_normal(machine.layout.size)
    for views in machine.layout.bind(flat).values():
        if "triangle" in views:
            views["triangle"][...] = np.triu(views["triangle"], k=1)
    machine.recognition_part(flat)[...] = 0
    objective = wake_sleep(machine, flat, "sleep", 1, seed=seed)
    optimizer = Adam(0.1, np.ones_like(flat))
    for _ in range(n_lessons):
        objective(Batch.dense(np.zeros((100, sizes[0]))))
        gradient = np.zeros_like(flat)
        machine.recognition_part(gradient)[...] = machine.recognition_part(objective.gradient)
        optimizer.ascend(flat, gradient)
    return machine, flat
