"""Data-parallel training of replicas on digits, compared with training one estimator."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skwakesleep import HelmholtzMachine
from skwakesleep.contrib.replicas import average, replicate

TRAINING, HELD_OUT = train_test_split((load_digits().data > 7.5).astype(np.float32), test_size=0.25, random_state=0)
N_EPOCHS, N_WORKERS = 20, 2


@pytest.mark.statistical
def test_two_replicas_score_within_two_tenths_of_a_nat_of_one_machine():
    single = HelmholtzMachine(100, batch_size=100, learning_rate_init=0.4, random_state=0)
    step = 0.4 * N_WORKERS**0.5
    options = {"batch_size": 100 // N_WORKERS, "learning_rate_init": step, "alpha": 1 / N_WORKERS}
    averaged = HelmholtzMachine(100, random_state=0, **options)
    averaged.partial_fit(TRAINING[:100])
    parts = np.array_split(TRAINING, N_WORKERS)
    for _ in range(N_EPOCHS):
        single.partial_fit(TRAINING)
        averaged = average(map(HelmholtzMachine.partial_fit, replicate(averaged, N_WORKERS), parts))
    assert averaged.score(HELD_OUT) > single.score(HELD_OUT) - 0.2
