"""Optuna: a search with pruning of unpromising trials."""

import numpy as np
import pytest

from skwakesleep import HelmholtzMachine

optuna = pytest.importorskip("optuna", reason="optuna is not installed")

rng = np.random.default_rng(0)
CAUSES = rng.integers(2, size=(120, 3))
X = (rng.random((120, 12)) < np.where(np.repeat(CAUSES, 4, axis=1), 0.9, 0.1)).astype(float)
TRAINING, HELD_OUT = X[:80], X[80:]
N_EPOCHS = 8
# The first two learning rates are suitable; the last two are far too small.
RATES = [0.2, 0.1, 1e-6, 1e-7]


def objective(trial):
    rate = trial.suggest_categorical("learning_rate_init", RATES)
    machine = HelmholtzMachine(3, batch_size=20, learning_rate_init=rate, random_state=0)
    for epoch in range(N_EPOCHS):
        machine.partial_fit(TRAINING)
        trial.report(machine.score(HELD_OUT), epoch)
        if trial.should_prune():
            raise optuna.TrialPruned
    return machine.score(HELD_OUT)


@pytest.fixture
def study(monkeypatch):
    monkeypatch.setattr(optuna.logging.get_logger("optuna"), "disabled", True)
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.GridSampler({"learning_rate_init": RATES}, seed=0),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=1, n_warmup_steps=1),
    )
    for rate in RATES:
        study.enqueue_trial({"learning_rate_init": rate})
    study.optimize(objective, n_trials=len(RATES))
    return study


def test_trials_with_low_scores_are_pruned(study):
    states = {trial.params["learning_rate_init"]: trial.state for trial in study.trials}
    pruned, complete = optuna.trial.TrialState.PRUNED, optuna.trial.TrialState.COMPLETE
    assert states[0.2] == complete
    assert states[1e-6] == states[1e-7] == pruned
    assert study.best_params["learning_rate_init"] in (0.1, 0.2)


def test_reported_values_are_the_scores_after_each_epoch(study):
    machine = HelmholtzMachine(3, batch_size=20, learning_rate_init=0.2, random_state=0)
    scores = [machine.partial_fit(TRAINING).score(HELD_OUT) for _ in range(N_EPOCHS)]
    assert list(study.trials[0].intermediate_values.values()) == scores
    assert study.trials[0].value == scores[-1]
    assert scores[-1] > scores[0]
