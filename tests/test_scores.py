"""Standard errors of scores, warnings of unreliable scores, and certificates."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from skwakesleep import HelmholtzMachine
from skwakesleep._engine.arrays.random import CommonNoise

SETTINGS = [(1, 0), (5, 0), (200, 0), (1, 4), (5, 4)]


@pytest.fixture
def wide(table, small):
    """Return a machine with too many hidden units to enumerate."""
    return small(hidden_layer_sizes=(12, 6), max_iter=20).fit(table)


@pytest.fixture
def lost():
    """Return a machine whose recognition network was damaged, and rows for it."""
    rng = np.random.default_rng(3)
    X = (rng.random((60, 40)) < rng.random((60, 1))).astype(float)
    options = {"autoregressive": "prior", "alpha": 0, "learning_rate_init": 0.2, "batch_size": 60}
    machine = HelmholtzMachine(20, max_iter=30, tol=None, random_state=0, **options).fit(X)
    for coefs, intercepts in zip(machine.recognition_coefs_, machine.recognition_intercepts_, strict=True):
        coefs *= -5
        intercepts += 5 * rng.normal(size=intercepts.shape)
    return machine, X


@pytest.mark.parametrize(("n_particles", "n_steps"), SETTINGS)
def test_a_score_depends_on_the_row_alone_at_every_setting(wide, table, n_particles, n_steps):
    wide.set_params(n_score_particles=n_particles, n_score_steps=n_steps)
    whole = np.array(wide.score_samples(table, return_std=True))
    order = np.random.default_rng(0).permutation(len(table))
    assert_array_equal(np.array(wide.score_samples(table[order], return_std=True)), whole[:, order])
    assert_array_equal(np.array(wide.score_samples(np.tile(table, (4, 1)), return_std=True)), np.tile(whole, 4))
    for row in 0, 7, 39:
        assert_array_equal(np.array(wide.score_samples(table[[row]], return_std=True)), whole[:, [row]])


def test_the_standard_error_is_returned_on_request(wide, table):
    scores, errors = wide.score_samples(table, return_std=True)
    assert_array_equal(scores, wide.score_samples(table))
    assert errors.shape == scores.shape
    assert errors.dtype == np.float64
    assert ((errors > 0) & (errors < 1)).all()


def test_enumerated_scores_have_no_error(table, small):
    _, errors = small().fit(table).score_samples(table, return_std=True)
    assert (errors == 0).all()


def test_the_error_of_a_single_particle_is_unknown(wide, table):
    _, errors = wide.set_params(n_score_particles=1).score_samples(table[:5], return_std=True)
    assert np.isnan(errors).all()


def test_annealing_steps_change_only_the_score(wide, table):
    before = wide.score_samples(table)
    stepped = wide.set_params(n_score_steps=3).score_samples(table)
    assert (before != stepped).any()
    assert_array_equal(wide.set_params(n_score_steps=0).score_samples(table), before)


@pytest.mark.statistical
def test_annealing_steps_raise_a_low_score(lost):
    machine, X = lost
    with pytest.warns(UserWarning, match="log-likelihood is unreliable"):
        plain = machine.score(X)
    assert machine.set_params(n_score_steps=60).score(X) > plain + 1


@pytest.mark.parametrize("method", ["score", "score_samples"])
def test_a_score_that_depends_on_single_particles_gives_a_warning(lost, method):
    machine, X = lost
    message = r"% of the rows.* of n_score_particles=128\).*n_score_steps, which is 0, to 50.*certify\(\)"
    with pytest.warns(UserWarning, match=message):
        getattr(machine, method)(X)
    getattr(machine, method)(X[:5])  # no warning with so few rows


def test_a_certificate_of_an_unreliable_score_gives_a_warning(lost):
    with pytest.warns(UserWarning, match="log-likelihood is unreliable"):
        certificate = lost[0].certify(100, random_state=0)
    assert certificate.width > 2


def test_a_reliable_score_gives_no_warning(wide, table):
    wide.score(table)
    wide.certify(20, random_state=0)


def test_two_samples_are_enough_for_a_certificate(wide):
    certificate = wide.certify(2, random_state=0)
    assert certificate.n_dreams == 2
    assert np.isfinite(certificate.interval).all()


def test_a_certificate_is_reproducible_and_changes_nothing(wide, table):
    before = wide.score_samples(table)
    first = wide.certify(30, random_state=1)
    assert first.interval == wide.certify(30, random_state=1).interval
    assert first.interval != wide.certify(30, random_state=2).interval
    assert_array_equal(wide.score_samples(table), before)


def test_a_certificate_holds_on_samples(wide):
    """The score of samples is in the certified interval, plus four standard errors of the rows."""
    certificate = wide.certify(200, random_state=0)
    X = wide.sample(2000, random_state=1)
    scores = wide.score_samples(X)
    allowance = 4 * scores.std() * np.sqrt(1 / 200 + 1 / 2000)
    assert certificate.interval[0] - allowance < scores.mean() < certificate.interval[1] + allowance


def test_a_certificate_uses_the_parameters_of_the_estimator(wide):
    certificate = wide.set_params(n_score_particles=7, n_score_steps=3).certify(10, random_state=0)
    assert (certificate.n_dreams, certificate.n_particles, certificate.n_steps) == (10, 7, 3)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n_samples": 1}, ValueError, "n_samples must be at least 2.*Got 1"),
        ({"n_samples": 2.5}, TypeError, "n_samples must be an int.*2.5"),
        ({"confidence": 95}, ValueError, r"'confidence'.*\(0.0, 1.0\).*95"),
    ],
)
def test_bad_arguments_of_certify_are_named(wide, arguments, error, message):
    with pytest.raises(error, match=message):
        wide.certify(**arguments)


def test_a_certificate_needs_two_particles(wide):
    with pytest.raises(ValueError, match=r"n_score_particles is 1.*at least 2"):
        wide.set_params(n_score_particles=1).certify()


def test_common_noise_pairs_the_candidates_of_a_grid_search(binary, small, monkeypatch):
    """The Monte-Carlo error of a difference is less than half of that of candidates with different noise."""
    candidates = [small(hidden_layer_sizes=16, max_iter=20, alpha=alpha, n_score_particles=16) for alpha in (0, 0.001)]
    scores = []
    for candidate in candidates:
        candidate.fit(binary)
        scores.append([])
        for seed in range(20):
            monkeypatch.setattr(CommonNoise, "SEED", seed)
            scores[-1].append(candidate.score(binary))
    first, second = np.array(scores)
    paired, unpaired = np.std(first - second), np.std(first - np.roll(second, 1))
    assert paired < unpaired / 2
