"""Between `AmortisedWakeSleep` and the engine: parameters become settings, and findings become warnings."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from skwakesleep._adapters import kinds
from skwakesleep._adapters.parameters import entropy
from skwakesleep._adapters.tables import MissingValuesError, check_table
from skwakesleep._engine.amortised.forms import Direct
from skwakesleep._engine.amortised.optional_methods import missing_methods
from skwakesleep._engine.amortised.problem import DEFAULT_BATCH_SIZE, Problem, Settings
from skwakesleep._engine.amortised.state import AmortisedState, Fit
from skwakesleep._engine.amortised.trainer import Trainer
from skwakesleep._engine.amortised.units import Units, units_for
from skwakesleep._engine.machine.moments import Moments
from skwakesleep.models._checks import GuardedModel, probe
from skwakesleep.models._declared_model import declared_model, flat_model, is_declared
from skwakesleep.models._parameters import same_model

Training = tuple[Trainer, list[AmortisedState]]

# Largest magnitude of values whose squares, added up, do not overflow.
MAX_MAGNITUDE = 1e150


def read_model_table(
    estimator: Any, X: Any, model_for: Callable[[int], Any], *, reset: bool
) -> tuple[NDArray, dict[str, Any]]:
    """Read the user's table for a model.

    Parameters
    ----------
    estimator : AmortisedWakeSleep
        The estimator.
    X : array-like of shape (n_rows, n_columns)
        The table.
    model_for : callable
        Returns the model for a number of columns.
    reset : bool
        Whether the columns may differ from those of an earlier fit.

    Returns
    -------
    values : ndarray of shape (n_rows, n_columns), float64
        The values, in the range of the model.
    attributes : dict of str to Any
        Fitted attributes that describe the columns, and the model with flat parameters as "model_".

    Raises
    ------
    ValueError
        For missing values that the model does not allow, values whose squares would overflow, values that the model
        cannot generate, and as `check_table`.
    TypeError
        If the model lacks required methods, and as `check_table`.
    """
    values: Any
    asked = estimator.model if reset else estimator.model_
    allow_nan = bool(getattr(asked, "allow_nan", False))
    try:
        values, attributes = check_table(
            estimator, X, reset=reset, accept_sparse=False, dtype=np.float64, allow_nan=allow_nan
        )
    except MissingValuesError as error:
        hint = " If the densities of the model leave out missing cells, set its allow_nan = True."
        raise ValueError(f"{error}{hint * is_declared(asked)}") from None
    names = attributes.get("feature_names_in_")
    largest = np.where(np.isnan(values), 0.0, np.abs(values)).max(axis=0)
    if largest.max() > MAX_MAGNITUDE:
        column = int(largest.argmax())
        raise ValueError(
            f"X must hold values of at most {MAX_MAGNITUDE:g} in magnitude, for their squares are needed. Column "
            f"{column} holds {float(largest[column])!r}. Rescale X."
        )
    model = model_for(values.shape[1])
    observed = values[:, : values.shape[1] - getattr(model, "n_covariates", 0)]
    kinds.check_range(observed, getattr(model, "observation_range", (-np.inf, np.inf)), names)
    return values, {**attributes, "model_": model}


# ---------------------------------------------------------------------- parameters


def settings(estimator: Any, gradient: str) -> Settings:
    """Return the settings that the parameters of an estimator stand for, with a given form of the gradient."""
    feature_map = estimator.feature_map
    named = feature_map is None or isinstance(feature_map, str)
    return Settings(
        gradient=gradient,
        n_dreams=int(estimator.n_sleep),
        batch_size=DEFAULT_BATCH_SIZE if estimator.batch_size == "auto" else estimator.batch_size,
        learning_rate=float(estimator.learning_rate_init),
        reuse_dreams=estimator.reuse_sleep,
        bandwidth=None if estimator.bandwidth == "median" else float(estimator.bandwidth),
        ridge=float(estimator.ridge),
        tuned=estimator.tune is not None,
        n_components=estimator.n_components,
        # scikit-learn's rule: an estimator does not fit the objects in its parameters, but clones of them.
        feature_map=feature_map if named else lambda x: clone(feature_map).fit(x),
    )


def problem(estimator: Any, model: Any, X: NDArray, units: Units, gradient: str) -> Problem:
    """Return the problem that the engine trains on or infers from, with a given form of the gradient or "auto".

    Raises
    ------
    TypeError
        If the model lacks a method that a parameter asks for.
    ValueError
        If parameters contradict each other.
    """
    result = Problem(GuardedModel(model), X, units, settings(estimator, gradient))
    usual = result.forms.usual
    if not result.simulation.local:  # local factors are used only if the model has all their methods
        if gradient == "auto" and missing_methods(model, usual.needs):
            raise TypeError("model has neither grad_log_joint nor the methods of an exponential family.")
        _check_offers(model, usual.needs, "gradient", gradient, "auto")
        if estimator.reuse_sleep:
            _check_offers(model, ["log_joint"], "reuse_sleep", True, False)
    if estimator.feature_map == "additive":
        _check_offers(model, ["latent_function"], "feature_map", "additive", "predictive")
        if usual.name == Direct.name:
            raise ValueError(
                "feature_map='additive' predicts natural parameters, not the scores that gradient='direct' regresses, "
                "and so does 'auto' unless the model is an exponential family. Use feature_map='predictive'."
            )
    return result


def _check_offers(model: Any, methods: Any, name: str, value: Any, default: Any) -> None:
    """Raise TypeError unless a model has the methods that the value of a parameter needs."""
    if missing := missing_methods(model, methods):
        raise TypeError(
            f"{name}={value!r} needs {', '.join(missing)} of the model, which has no such method. Use "
            f"{name}={default!r}."
        )


def new_training(estimator: Any, model: Any, X: NDArray, moments: Moments, *, partial: bool) -> Training:
    """Return a trainer and new states, after a first call of the methods of the model.

    Raises
    ------
    ValueError
        If the model gives something other than its protocol says.
    """
    n_restarts = 1 if partial else estimator.n_restarts
    trained = problem(estimator, model, X, units_for(GuardedModel(model), moments), estimator.gradient)
    trained.n_rows = moments.n_rows
    trainer = Trainer(trained)
    states = trainer.starts(n_restarts, entropy(estimator.random_state), moments)
    for state in states:
        probe(trained.model, state.parameters, trained.rows, trained.simulation)
    return trainer, states


def continued_training(estimator: Any, model: Any, X: NDArray, moments: Moments, *, partial: bool) -> Training:
    """Return a trainer and a copy of the state, with the learning rate of now, in the units of the rows or the stream.

    Raises
    ------
    ValueError
        If the parameter `model` is not the model that was fitted, or the training state was discarded.
    """
    asked = model if estimator.model is None else flat_model(estimator.model, estimator.fixed)
    if not same_model(asked, model):
        raise ValueError(
            f"model is {asked!r}, but the one to continue from is {model!r}. Restore it, or start anew with "
            "fit and warm_start=False."
        )
    state = estimator._training_state().copy()  # if training fails, the estimator is unchanged
    state.optimizer.learning_rate = float(estimator.learning_rate_init) * state.step_factor
    state.moments = state.moments.merged(moments) if partial else moments
    guarded = GuardedModel(model)
    units = units_for(guarded, state.moments)
    if state.units.differ(units):  # small changes are not worth a reset of the optimizer
        state.enter(units, guarded.params_in_units)
    continued = problem(estimator, model, X, state.units, estimator.gradient)
    continued.n_rows = state.moments.n_rows
    return Trainer(continued), [state]


# ---------------------------------------------------------------------- results


def check_rows_to_sample_for(model: Any, rows: NDArray | None) -> None:
    """Raise ValueError if rows are needed to sample for, or of no use."""
    if rows is None and hasattr(model, "sample_given"):
        raise ValueError(
            "given must be rows to sample for, because the model has covariates. Pass the training data, or other rows "
            "with the same columns: only their covariates and missing cells are used. Got None."
        )
    if rows is not None and not (hasattr(model, "sample_given") or getattr(model, "allow_nan", False)):
        raise ValueError(
            "given has no effect, because the model has no covariates and no missing cells. Pass given=None."
        )


def fitted_attributes(model: Any, trainer: Trainer, state: AmortisedState) -> dict[str, Any]:
    """Return the fitted attributes that stand for a state of training."""
    theta, theta_in_units, named = trainer.parameters(state)
    regression = state.regression
    return {
        "model_": declared_model(model),
        "theta_": theta_in_units,
        "params_": named,
        "gradient_": regression.form,
        "bandwidth_": regression.bandwidth,
        "ridge_": regression.ridge,
        # Copies, because the state may be trained further.
        "loo_errors_": list(regression.errors),
        "coverages_": list(regression.coverages),
        "effective_sample_sizes_": list(regression.effective_sample_sizes),
        "failed_share_": regression.n_failed / max(regression.n_dreamed, 1),
        "n_iter_": state.n_epochs,
        "n_steps_": state.n_steps,
        "_fitted": Fit(model, state, theta, theta_in_units),
    }


def notices(trainer: Trainer, state: AmortisedState, batch_size: int | str, *, complete: bool) -> list[Warning]:
    """Return warnings of a clipped batch size, a useless regression, a fall of the likelihood and a remaining gain.

    Only a `complete` fit, not an epoch of `partial_fit`, is expected to have no gain remaining.
    """
    messages = []
    if batch_size not in ("auto", trainer.batch_size):
        messages.append(
            f"batch_size={batch_size} is larger than the number of training rows and was clipped to "
            f"{trainer.batch_size}."
        )
    if (error := trainer.useless_error(state)) is not None:
        messages.append(
            f"The regression predicts no better than a constant (leave-one-out error {error:.2f}), so the fit says "
            "little. Raise n_sleep, or set feature_map."
        )
    exact = ", or set gradient='exact'" if trainer.could_use_exact else ""
    if (fall := trainer.fall(state)) is not None:
        best_score, best_epoch, score = fall
        messages.append(
            f"The mean log-likelihood was {best_score:.2f} nats after epoch {best_epoch}, and {score:.2f} at the end "
            f"of training. The parameters of the former are kept. Raise n_sleep, lower learning_rate_init{exact}."
        )
    if (gain := trainer.exact_gain(state)) is not None:
        messages.append(
            f"A short climb along the exact gradient raises the mean log-likelihood by {gain:.2f} nats. Raise "
            f"max_iter, n_sleep{exact}."
        )
    if complete and fall is None and (gain := trainer.unfinished_gain(state)) is not None:
        messages.append(
            f"The fit stopped short: a further step along the gradient would raise the mean log-likelihood by about "
            f"{gain:.2f} nats. Raise max_iter or n_sleep, or start at the scale of the data; see "
            "skwakesleep.inspection.check_convergence."
        )
    return [UserWarning(message) for message in messages]


def report(state: AmortisedState) -> str:
    """Return the text that `verbose` prints for a state."""
    regression = state.regression
    text = f"gradient = {regression.form}, coverage = {regression.coverages[-1]:.2f}"
    if regression.errors:
        text += f", leave-one-out error = {regression.errors[-1]:.3f}"
    if regression.effective_sample_sizes:
        text += f", effective samples = {regression.effective_sample_sizes[-1]:.1f}"
    return text
