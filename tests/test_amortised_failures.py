"""Failed simulations, divergence, interrupts, and memory errors."""

import warnings
from contextlib import suppress

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from skwakesleep.models import LatentFactors
from tests.amortised import FITS, factor_data, quick


@pytest.fixture
def X():
    return factor_data()


# ---------------------------------------------------------------------- failed simulations


class Failing(LatentFactors):
    """A model for which a fraction of the simulations fail."""

    failed_fraction = 0.03

    def sample(self, theta, n, rng):
        z, x = super().sample(theta, n, rng)
        x[rng.random(n) < self.failed_fraction, 0] = np.nan
        return z, x


SETTINGS = {
    "exponential": {},
    "direct": {"gradient": "direct"},
    "reuse": {"reuse_sleep": True},
    "importance": {"gradient": "importance"},
}


@pytest.mark.parametrize("settings", SETTINGS)
def test_training_tolerates_a_few_failed_simulations(settings, X):
    fitted = quick(Failing(4, 1), max_iter=60, **SETTINGS[settings]).fit(X)
    assert fitted.failed_share_ == pytest.approx(0.03, abs=0.015)
    assert quick(LatentFactors(4, 1)).fit(X).failed_share_ == 0
    assert np.isfinite(fitted.theta_).all()
    assert np.isfinite(fitted.transform(X)).all()
    assert np.isfinite(fitted.estimate_gradient(X)).all()
    assert fitted.sample(300, random_state=0).shape == (300, 4)
    assert np.isfinite(fitted.sample(300, random_state=0)).all()


@pytest.mark.parametrize("fit", FITS)
def test_too_many_failed_simulations_raise(fit, X):
    model = Failing(4, 1)
    model.failed_fraction = 0.3
    with pytest.raises(
        ValueError, match=r"\d+ of \d+ simulations by \S*sample are not finite.* at most 10% may fail.* theta = \["
    ) as caught:
        getattr(quick(model), fit)(X)
    assert "learning_rate" not in str(caught.value)


# ---------------------------------------------------------------------- extreme parameters, memory, threads


@pytest.mark.parametrize("bandwidth", [1e300, 1e-300])
@pytest.mark.parametrize("n_sleep", [60, 2001])
def test_extreme_bandwidths_give_finite_results(bandwidth, n_sleep, X):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The regression predicts no better")
        fitted = quick(bandwidth=bandwidth, n_sleep=n_sleep, max_iter=1, gradient="exponential").fit(X)
    assert np.isfinite(fitted.transform(X)).all()


@pytest.mark.parametrize("learning_rate_init", [1e3, 1e8, 1e300])
@pytest.mark.parametrize("model", [None, LatentFactors(4, 3, latents="laplace")])
def test_last_step_is_checked(learning_rate_init, model, X):
    estimator = quick(model, max_iter=1, learning_rate_init=learning_rate_init)
    messages = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with suppress(ValueError):
            estimator.fit(X)
            messages = [str(warning.message) for warning in caught]
    assert hasattr(estimator, "theta_")
    assert not messages or "The parameters of the former are kept" in messages[0]
    assert np.isfinite(estimator.theta_).all()
    assert np.isfinite(estimator.sample(50)).all()
    if hasattr(estimator, "score"):
        assert np.isfinite(estimator.score(X))


def out_of_memory(*args):
    raise MemoryError("no room.")


def test_memory_error_names_the_parameter(X):
    fitted = quick(LatentFactors(4, 1)).fit(X)
    fitted.model_.sample = out_of_memory
    for call, message in (
        (lambda: fitted.sample(7), "n_samples=7 needs more memory"),
        (lambda: fitted.transform(X), "n_sleep=100 needs more memory"),
        (lambda: fitted.partial_fit(X), "n_sleep=100 needs more memory .*no room. Lower n_sleep"),
    ):
        with pytest.raises(MemoryError, match=message):
            call()


def test_methods_use_one_fit_if_another_thread_refits(X):
    estimator = quick(LatentFactors(4, 2)).fit(X)
    expected = estimator.score_samples(X)

    class Refitting(LatentFactors):
        @property
        def log_likelihood(self):
            likelihood = super().log_likelihood

            def refit_then_evaluate(theta, rows):
                estimator._adopt(vars(quick(LatentFactors(4, 1), random_state=3).fit(10 * X)))
                return likelihood(theta, rows)

            return refit_then_evaluate

    estimator._fitted.model.__class__ = Refitting
    assert_array_equal(estimator.score_samples(X), expected)
    assert repr(estimator.model_) == repr(LatentFactors(4, 1))


# ---------------------------------------------------------------------- divergence and interrupts


DIVERGING = {"learning_rate_init": 1e3, "max_iter": 50}


def test_divergence_raises_and_keeps_the_last_finite_parameters(X):
    estimator = quick(**DIVERGING)
    with pytest.raises(
        ValueError, match=r"diverged at epoch \d+: .* not finite.* Lower\s+learning_rate_init, which is 1000"
    ):
        estimator.fit(X)
    assert np.isfinite(estimator.theta_).all()
    assert np.isfinite(estimator.sample(3)).all()


@pytest.mark.parametrize("observations", ["gaussian", "bernoulli"])
def test_very_large_step_raises(observations):
    X = np.random.default_rng(0).random((20, 3))
    model = LatentFactors(3, 1, observations=observations)
    with pytest.raises(ValueError, match=r"training diverged at epoch 1: .*too large.* Lower learning_rate_init"):
        quick(model, learning_rate_init=1e300).fit(X)


def test_divergence_keeps_the_previous_fit(X):
    estimator = quick().fit(X)
    theta = estimator.theta_.copy()
    with pytest.raises(ValueError, match="diverged"):
        estimator.set_params(**DIVERGING).fit(X)
    assert_array_equal(estimator.theta_, theta)


class Interruptible(LatentFactors):
    """A model that raises KeyboardInterrupt at a given call of natural_vjp."""

    n_calls = 1  # remaining calls; a class attribute because the estimator may copy its model

    def natural_vjp(self, *args):
        Interruptible.n_calls -= 1
        if self.n_calls == 0:
            raise KeyboardInterrupt
        return super().natural_vjp(*args)


def interrupt_notes(train, *args):
    with pytest.raises(KeyboardInterrupt) as caught:
        train(*args)
    return getattr(caught.value, "__notes__", [])


def test_interrupt_keeps_the_fit_and_is_reraised(X):
    Interruptible.n_calls = 40
    estimator = quick(Interruptible(4, 2), max_iter=1000, warm_start=True)
    notes = interrupt_notes(estimator.fit, X)
    assert any("interrupted after 37 epochs, which are kept" in note for note in notes)
    assert estimator.n_iter_ == 37
    assert np.isfinite(estimator.score(X))
    estimator.set_params(max_iter=3).fit(X)
    assert estimator.n_iter_ == 40


@pytest.mark.parametrize("fit", FITS)
def test_interrupt_in_the_first_epoch_changes_nothing(fit, X):
    Interruptible.n_calls = 3  # the first two calls are made before training
    estimator = quick(Interruptible(4, 2))
    assert interrupt_notes(getattr(estimator, fit), X) == []
    assert not hasattr(estimator, "theta_")
    Interruptible.n_calls = 1000
    estimator.fit(X)
    theta, Interruptible.n_calls = estimator.theta_, 3 if fit == "fit" else 1
    assert interrupt_notes(getattr(estimator, fit), X) == []
    assert estimator.theta_ is theta
    assert estimator.n_iter_ == 3
