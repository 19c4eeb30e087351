"""What Mushrooms would teach a machine of 12 latents, if the posterior of the latents were known.

Machine, start, solver, penalty, averaging, epochs and batches are those of the default in mushrooms.py, but gradients
are exact: where wake-sleep draws particles, they sum over all 4096 states of the latents. "Annealed", states count by
their posterior to a power that rises from zero to one over four fifths of the steps (Ueda & Nakano 1998), for which one
has to know how many there will be. The table has the log-likelihood of the validation rows, for each learning rate the
mean over the seeds, and of the test rows at the best of the rates, in nats per row.

    python examples/benchmarks/exact_gradients.py --data-dir DIR

DIR holds mushrooms.npz, in the form that packed_rows.py describes.
"""

import argparse
from itertools import product
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from packed_rows import load

from skwakesleep import HelmholtzMachine
from skwakesleep._engine.arrays.numerics import log_sum_exp
from skwakesleep._engine.arrays.random import Streams
from skwakesleep._engine.arrays.workspace import Workspace
from skwakesleep._engine.machine.families import Bernoulli
from skwakesleep._engine.machine.networks import Machine
from skwakesleep._engine.machine.rows import Rows
from skwakesleep._engine.machine.wake_sleep import settle
from skwakesleep._engine.posterior.enumeration import Enumeration, all_states
from skwakesleep._engine.training.loop import train
from skwakesleep._engine.training.optimizers import Adam
from skwakesleep._engine.training.penalty import WeightPenalty
from skwakesleep._engine.training.state import TrainingState

N_LATENTS, BATCH, ANNEALED = 12, 25, 0.8
DEFAULT = HelmholtzMachine().get_params()


class ExactGradient:
    """Gradient of the log-likelihood of a mini-batch, for machines with one hidden layer.

    As the objective of `train`. In the n-th step, states count by their posterior to the power of
    ``n / annealed_steps``, and in the end of one.
    """

    def __init__(self, machine, parameters, annealed_steps):
        self.gradient = np.zeros_like(parameters)
        self.damping = None
        self._machine, self._parameters, self._annealed_steps = machine, parameters, annealed_steps
        self._theta, self._grad = machine.bind(parameters).generative, machine.bind(self.gradient).generative
        self._states = all_states(N_LATENTS, parameters.dtype)
        mask = machine.layout.mask({"weights", "triangle"}, parameters.dtype)
        self._penalty = WeightPenalty(DEFAULT["alpha"] * mask)
        self._workspace, self._n_steps = Workspace(), 0

    def floor(self, nats):
        return -nats * sum(self._machine.sizes)

    def __call__(self, batch):
        self._n_steps += 1
        prior, visible = self._machine.generative.layers
        causes = prior.evaluate(self._theta[0], None, self._states, self._workspace)
        natural = visible.natural(self._theta[1], self._states, self._workspace)
        log_joint = causes.log_prob[:, np.newaxis] + natural @ batch.units.T
        log_joint -= visible.family.log_normalizer(self._theta[1], natural, natural, self._workspace)[:, np.newaxis]
        power = min(1.0, self._n_steps / self._annealed_steps) if self._annealed_steps else 1.0
        responsibilities = np.exp(power * log_joint - log_sum_exp(power * log_joint)) / len(batch.units)
        self._ascend(prior, causes, natural, responsibilities, batch.units)
        return float(log_sum_exp(log_joint).mean())

    def _ascend(self, prior, causes, means, responsibilities, units):
        """Set the gradient. Rows enter it by their sum over each state alone, which is what makes it affordable."""
        mass = responsibilities.sum(axis=1)
        prior.gradient(self._theta[0], causes, mass, self._grad[0], self._workspace)
        residual = responsibilities @ units - mass[:, np.newaxis] * means
        np.matmul(self._states.T, residual, out=self._grad[1]["weights"])
        residual.sum(axis=0, out=self._grad[1]["intercept"])
        settle(self._grad[1])
        self._penalty.subtract_gradient(self._parameters, self.gradient)


class Unwatched:
    """A training that nobody watches."""

    def epoch_begin(self):
        pass

    def epoch_end(self, state):
        return False


def train_and_score(annealed, rate, seed, n_epochs, train_rows, *others):
    """Return the exact log-likelihoods of other rows after training."""
    n_active = np.square(train_rows).sum(axis=1).mean()
    machine, streams = Machine(Bernoulli(), (train_rows.shape[1], N_LATENTS), n_active, ["prior"]), Streams(seed)
    start = machine.initial_parameters(train_rows.mean(axis=0), streams["initialization"], train_rows.dtype)
    state = TrainingState(start, Adam(rate, machine.step_scales(train_rows.dtype)), streams)
    n_steps = n_epochs * -(-len(train_rows) // BATCH)
    objective = ExactGradient(machine, state.parameters, ANNEALED * n_steps if annealed else 0)
    rows = Rows(train_rows, Bernoulli(), train_rows.dtype)
    loop = {"batch_size": BATCH, "shuffle": True, "stopping": None, "validate": None, "monitor": Unwatched()}
    train(state, objective, rows, n_epochs=n_epochs, **loop)
    score = Enumeration(machine, machine.bind(state.average.astype(np.float64)), Workspace())
    return [score(other.astype(np.float64)).log_likelihood.mean() for other in others]


def main():
    args = parse_arguments()
    data = load(args.data_dir / "mushrooms.npz")
    rates = [DEFAULT["learning_rate_init"] * factor for factor in args.factors]
    print(f"{'':10}" + "".join(f"{f'valid, {rate:.2g}':>14}" for rate in rates) + f"{'test, best':>14}   each seed")
    for name, annealed in {"exact": False, "annealed": True}.items():
        scores = Parallel(n_jobs=args.n_jobs)(
            delayed(train_and_score)(annealed, *choice, args.epochs, *data)
            for choice in product(rates, range(args.seeds))
        )
        valid, test = np.moveaxis(np.reshape(scores, (len(rates), args.seeds, 2)), -1, 0)
        best = test[valid.mean(axis=1).argmax()]
        cells = "".join(f"{score:14.2f}" for score in [*valid.mean(axis=1), best.mean()])
        print(f"{name:10}{cells}   {' '.join(f'{score:.2f}' for score in best)}", flush=True)


def parse_arguments():
    summary, _, details = __doc__.partition("\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=details, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-dir", type=Path, required=True, help="folder of mushrooms.npz")
    parser.add_argument("--epochs", type=int, default=60, help="passes over the training rows (default: 60)")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds (default: 3)")
    parser.add_argument(
        "--factors",
        type=float,
        nargs="+",
        default=[0.5, 1, 2],
        help="learning rates to choose from, as multiples of the default (default: 1/2 to 2)",
    )
    parser.add_argument("--n-jobs", type=int, default=1, help="processes (default: 1)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
