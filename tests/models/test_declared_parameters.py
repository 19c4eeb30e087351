"""Declared parameters: constraints, named values, gradients, priors, fixed values, and messages that name them."""

import pickle
from copy import deepcopy

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import GridSearchCV

from skwakesleep._adapters.amortised import continued_training
from skwakesleep._adapters.amortised import problem as amortised_problem
from skwakesleep._engine.amortised.units import units_for
from skwakesleep._engine.machine.moments import measure
from skwakesleep.models import (
    Covariance,
    FunctionModel,
    Interval,
    LatentFactors,
    ModelError,
    Ordered,
    Parameter,
    Positive,
    Real,
    Simplex,
    check_generative_model,
)
from skwakesleep.models._checks import GuardedModel
from skwakesleep.models._declared_model import flat_model
from tests.amortised import quick
from tests.models.difference import slope

CONSTRAINTS = {
    "real": (Real(3, scale=20.0), [3.0, -50.0, 0.1]),
    "number": (Real(), 3.0),
    "positive": (Positive((2, 2)), [[1e-3, 1.0], [2.0, 500.0]]),
    "interval": (Interval(-1, 3, 2), [-0.99, 2.0]),
    "simplex": (Simplex((2, 3)), [[0.2, 0.5, 0.3], [0.98, 0.01, 0.01]]),
    "ordered": (Ordered((2, 3)), [[-1.0, 2.0, 2.1], [0.0, 1.0, 50.0]]),
    "covariance": (Covariance(3), [[2.0, 0.5, 0.1], [0.5, 1.0, -0.3], [0.1, -0.3, 0.4]]),
}
every_constraint = pytest.mark.parametrize("case", CONSTRAINTS)


@pytest.fixture
def rng():
    return np.random.default_rng(5)


# ---------------------------------------------------------------------- constraints


@every_constraint
def test_value_is_the_inverse_of_free(case):
    parameter, value = CONSTRAINTS[case]
    free = parameter.free(np.array(value))
    assert free.shape == parameter.free_shape
    assert_allclose(parameter.value(free), value, rtol=1e-12)


@every_constraint
def test_values_of_any_numbers_are_admitted(case, rng):
    parameter, _ = CONSTRAINTS[case]
    for size in 0.1, 1.0, 3.0:
        value = parameter.value(size * rng.standard_normal(parameter.free_shape))
        assert value.shape == parameter.shape
        assert parameter.admits(value, False)


@every_constraint
def test_pullback_equals_central_differences(case, rng):
    parameter, value = CONSTRAINTS[case]
    free, cotangent = parameter.free(np.array(value)), rng.standard_normal(parameter.shape)
    expected = slope(lambda flat: (cotangent * parameter.value(flat.reshape(free.shape))).sum(), free.ravel())
    assert_allclose(parameter.pullback(free, cotangent).ravel(), expected, rtol=1e-6, atol=1e-8)


OUTSIDE = {
    "positive": (Positive(2), [1.0, -1.0]),
    "limit": (Positive(), 0.0),
    "interval": (Interval(0, 1), 1.5),
    "bound": (Interval(0, 1), 1.0),
    "sum": (Simplex(2), [0.5, 0.6]),
    "negative probability": (Simplex(3), [-0.1, 0.6, 0.5]),
    "descending": (Ordered(3), [0.0, 2.0, 1.0]),
    "asymmetric": (Covariance(2), [[1.0, 0.5], [0.0, 1.0]]),
    "indefinite": (Covariance(2), [[1.0, 2.0], [2.0, 1.0]]),
    "not finite": (Real(2), [0.0, np.inf]),
    "shape": (Real(2), [1.0, 2.0, 3.0]),
    "text": (Real(), "one"),
}


@pytest.mark.parametrize("case", OUTSIDE)
def test_start_that_is_not_admitted_raises(case):
    parameter, value = OUTSIDE[case]
    arguments = {Interval: (0, 1), Covariance: (2,)}.get(type(parameter), (parameter.shape,))
    with pytest.raises(ValueError, match=f"start of {type(parameter).__name__} must be"):
        type(parameter)(*arguments, start=value)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Real(0), ValueError, "shape of Real must be an int"),
        (lambda: Real((2, 1.5)), ValueError, "shape of Real must be an int"),
        (lambda: Real(scale=0), ValueError, "scale of Real"),
        (lambda: Simplex(1), ValueError, "shape of Simplex must end with an int, at least 2"),
        (lambda: Ordered(()), ValueError, "shape of Ordered must end"),
        (lambda: Interval(1, 1), ValueError, "lower < upper"),
        (lambda: Interval(0, np.inf), ValueError, "finite bounds"),
        (lambda: Real(prior=3.0), TypeError, "prior of Real must have a method logpdf"),
    ],
)
def test_invalid_declaration_raises(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_equal_declarations_are_equal():
    assert Real(2, start=[1, 2]) == Real(2, start=[1, 2])
    assert Real(2, start=[1, 2]) != Real(2, start=[1, 3])
    assert Interval(0, 1) != Interval(0, 2)
    assert Positive() != Real()


# ---------------------------------------------------------------------- models


class Clusters(BaseEstimator):
    """Normal clusters of counts: a parameter of each kind."""

    def __init__(self, n_features=3, offset=0.0):
        self.n_features = n_features
        self.offset = offset

    def parameters(self):
        return {
            "share": Simplex(3, start=[0.5, 0.3, 0.2]),
            "center": Ordered(3, start=[-3, 0, 4]),
            "loading": Real(self.n_features, start=np.arange(1.0, self.n_features + 1)),
            "noise": Positive(start=1.0),
            "shrinkage": Interval(0, 1, start=0.5),
        }

    def sample(self, params, n, rng):
        z = rng.choice(3, n, p=params.share)
        mean = np.outer(params.center[z], params.shrinkage * params.loading) + self.offset
        return z, mean + params.noise * rng.standard_normal((n, self.n_features))

    def log_joint(self, params, z, x):
        mean = np.outer(params.center[z], params.shrinkage * params.loading) + self.offset
        return np.log(params.share[z]) + stats.norm.logpdf(x, mean, params.noise).sum(axis=1)

    def log_likelihood(self, params, X):
        return np.logaddexp.reduce([self.log_joint(params, np.full(len(X), z), X) for z in range(3)])


class ByGradient(Clusters):
    """The same with a gradient by name."""

    def grad_log_joint(self, params, z, x, weights):
        center = params.center[z][:, np.newaxis]
        residual = (x - center * params.shrinkage * params.loading - self.offset) / params.noise**2
        counts = np.bincount(z, weights, minlength=3)
        by_center = weights * (residual @ params.loading) * params.shrinkage
        return {
            "noise": weights @ ((residual**2).sum(axis=1) * params.noise - self.n_features / params.noise),
            "share": counts / params.share,
            "center": np.bincount(z, by_center, minlength=3),
            "loading": weights @ (residual * center) * params.shrinkage,
            "shrinkage": weights @ (residual * center * params.loading).sum(axis=1),
        }


VALUES = {
    "share": [0.5, 0.3, 0.2],
    "center": [-2.0, 0.5, 3.0],
    "loading": [1.0, -0.5, 2.0],
    "noise": 0.7,
    "shrinkage": 0.8,
}
both_models = pytest.mark.parametrize("model", [Clusters(), ByGradient()], ids=["differences", "gradient"])


def clusters(n=200):
    flat = flat_model(Clusters())
    return flat.sample(flat.pack(VALUES), n, np.random.default_rng(0))[1]


@pytest.mark.statistical
@both_models
def test_declared_models_pass_the_check(model, rng):
    check_generative_model(model, VALUES, rng)


def test_functions_get_named_values_in_natural_units():
    flat = flat_model(Clusters())
    params = flat.params(flat.pack(VALUES))
    assert params._fields == tuple(VALUES)
    for name, value in VALUES.items():
        assert_allclose(getattr(params, name), value)
    assert isinstance(params.noise, float)


@both_models
def test_gradient_in_the_flat_vector_equals_central_differences(model, rng):
    flat = GuardedModel(flat_model(model, {"center": [-2, 0.5, 3], "loading": [1, np.nan, np.nan]}))
    theta = flat.pack(VALUES)
    assert theta.shape == (flat.n_params,) == (2 + 2 + 1 + 1,)
    z, x = flat.sample(theta, 7, rng)
    weights = rng.standard_normal(7)
    expected = slope(lambda end: weights @ flat.log_joint(end, z, x), theta)
    assert_allclose(flat.grad_log_joint(theta, z, x, weights), expected, rtol=1e-5, atol=1e-6)


def test_gradient_may_be_a_named_tuple(rng):
    class ByTuple(ByGradient):
        def grad_log_joint(self, params, z, x, weights):
            return params._replace(**super().grad_log_joint(params, z, x, weights))

    flats = [flat_model(model) for model in (ByTuple(), ByGradient())]
    theta = flats[0].pack(VALUES)
    z, x = flats[0].sample(theta, 7, rng)
    assert_array_equal(*(flat.grad_log_joint(theta, z, x, np.ones(7)) for flat in flats))


def test_fit_has_values_in_natural_units():
    X = clusters()
    fitted = quick(ByGradient(), max_iter=300).fit(X)
    values = fitted.params_
    assert values.keys() == VALUES.keys()
    assert_allclose(values["share"].sum(), 1)
    assert (np.diff(values["center"]) > 0).all()
    assert_allclose(values["noise"], 0.7, rtol=0.1)
    assert fitted.theta_.shape == (2 + 3 + 3 + 1 + 1,)
    flat = flat_model(fitted.model_)
    assert_array_equal(flat.unpack(fitted.theta_)["center"], values["center"])
    assert fitted.score(X) > flat.log_likelihood(flat.pack(VALUES), X).mean()


def test_fits_with_and_without_a_gradient_agree():
    assert_allclose(*(quick(model, max_iter=10).fit(clusters()).theta_ for model in (Clusters(), ByGradient())))


def test_function_model_with_declared_parameters(rng):
    clusters_ = Clusters()
    arguments = {"parameters": clusters_.parameters(), "n_features": 3}
    model = FunctionModel(clusters_.sample, clusters_.log_joint, initial_params={"noise": 2.0}, **arguments)
    check_generative_model(model, VALUES, rng, n_draws=200)
    assert flat_model(model).unpack(flat_model(model).initial_params(clusters(), rng))["noise"] == pytest.approx(2)
    assert_array_equal(*(quick(m).fit(clusters()).theta_ for m in (model, clone(model))))
    with pytest.raises(TypeError, match="one of n_params and parameters"):
        FunctionModel(clusters_.sample, clusters_.log_joint, n_params=3, **arguments)
    with pytest.raises(TypeError, match="n_covariates=1 of FunctionModel needs parameters"):
        FunctionModel(print, print, n_params=3, n_features=2, n_covariates=1)


# ---------------------------------------------------------------------- copies, files and searches


def test_fitted_estimators_can_be_copied_and_saved():
    X = clusters()
    fitted = quick(Clusters(), fixed={"shrinkage": 1.0}, warm_start=True).fit(X)
    for copy in pickle.loads(pickle.dumps(fitted)), deepcopy(fitted):
        assert copy.params_["shrinkage"] == 1.0
        assert_array_equal(copy.score_samples(X), fitted.score_samples(X))
        assert_array_equal(copy.fit(X).theta_, deepcopy(fitted).fit(X).theta_)


def test_parameters_of_a_declared_model_can_be_searched():
    search = GridSearchCV(quick(Clusters()), {"model__offset": [0.0, 5.0], "fixed": [None, {"noise": 0.7}]}, cv=2)
    search.fit(clusters())
    assert search.best_params_["model__offset"] == 0.0
    assert search.estimator.model.offset == 0.0


def test_continuation_with_other_fixed_values_raises():
    fitted = quick(Clusters(), fixed={"noise": 0.7}, warm_start=True).fit(clusters())
    with pytest.raises(ValueError, match=r"fixed=\{'noise': 0.8\}, but the one to continue from"):
        fitted.set_params(fixed={"noise": 0.8}).fit(clusters())


# ---------------------------------------------------------------------- fixed values


def test_fixed_values_stay(rng):
    X = clusters()
    fixed = {"loading": [1.0, np.nan, 2.0], "share": [0.0, 0.5, 0.5], "shrinkage": 1}
    fitted = quick(Clusters(), fixed=fixed).fit(X)
    assert_array_equal(fitted.params_["loading"][[0, 2]], [1, 2])
    assert fitted.params_["loading"][1] not in (1.0, 2.0)
    assert_array_equal(fitted.params_["share"], [0.0, 0.5, 0.5])
    assert fitted.params_["shrinkage"] == 1  # a limit, which no unconstrained number has
    assert quick(Clusters(), fixed={"shrinkage": 0}).fit(X).params_["shrinkage"] == 0
    assert fitted.theta_.shape == (3 + 1 + 1,)
    assert fitted.estimate_gradient(X).shape == (5,)


@pytest.mark.parametrize(
    ("fixed", "error", "message"),
    [
        ({"nose": 1}, ValueError, "fixed has the name 'nose', but Clusters declares share, center"),
        ({"noise": -1}, ValueError, "'noise' of fixed must be positive. Got -1.0"),
        ({"noise": [1, 2]}, ValueError, r"'noise' of fixed must be numbers of shape \(\)"),
        ({"noise": np.inf}, ValueError, "'noise' of fixed must be positive"),
        ({"loading": [1, np.nan, np.inf]}, ValueError, "'loading' of fixed must be finite numbers"),
        ({"share": [0.5, np.nan, np.nan]}, ValueError, "'share' of fixed must be fixed as a whole"),
        ({"shrinkage": "half"}, ValueError, "'shrinkage' of fixed must be numbers"),
        (VALUES, ValueError, "leaves no parameter of Clusters to fit"),
        ([1], ValueError, "'fixed' parameter of AmortisedWakeSleep must be an instance of 'dict' or None"),
    ],
)
def test_fixed_values_that_are_not_valid_raise(fixed, error, message):
    with pytest.raises(error, match=message):
        quick(Clusters(), fixed=fixed).fit(clusters())


def test_fixed_values_need_declared_parameters():
    with pytest.raises(TypeError, match="needs a model that declares its parameters"):
        quick(LatentFactors(3), fixed={"loadings": 1}).fit(clusters())


# ---------------------------------------------------------------------- priors

PRIORS = {
    "share": Simplex(3, prior=stats.dirichlet([2, 3, 4])),
    "center": Ordered(3, prior=stats.norm(0, 3)),
    "loading": Real(3, prior=stats.multivariate_normal(np.zeros(3), np.diag([1, 2, 3]) + 0.5)),
    "noise": Positive(prior=stats.invgamma(3)),
    "shrinkage": Interval(0, 1, prior=stats.beta(2, 2)),
}


class WithPriors(Clusters):
    def parameters(self):
        return PRIORS

    def log_prior_params(self, params):
        return -params.noise * params.loading[0] ** 2


@pytest.mark.parametrize("fixed", [None, {"loading": [1.0, np.nan, 2.0], "share": VALUES["share"]}])
def test_gradient_of_the_log_prior_equals_central_differences(fixed):
    flat = GuardedModel(flat_model(WithPriors(), fixed))
    theta = flat.pack(VALUES)
    expected = slope(flat.log_prior_params, theta)
    assert_allclose(flat.grad_log_prior_params(theta), expected, rtol=1e-5, atol=1e-7)


def test_log_prior_is_the_density_of_the_values():
    flat = flat_model(WithPriors())
    expected = sum(np.sum(PRIORS[name].prior.logpdf(value)) for name, value in VALUES.items()) - 0.7 * 1.0**2
    assert_allclose(flat.log_prior_params(flat.pack(VALUES)), expected)


class Location:
    """Normal rows around a normal mean, whose posterior mode is known: mean (n x̄ / s) / (n / s + 1 / v)."""

    n_features = 1

    def __init__(self, prior):
        self.parameters = {"mean": Real(prior=prior, start=0.0)}

    def sample(self, params, n, rng):
        z = params.mean + rng.standard_normal(n)
        return z, (z + rng.standard_normal(n))[:, np.newaxis]

    def log_joint(self, params, z, x):
        return stats.norm.logpdf(z, params.mean) + stats.norm.logpdf(x[:, 0], z)


def test_fit_with_a_prior_is_the_posterior_mode(rng):
    X, variance = 3 + np.sqrt(2) * rng.standard_normal((40, 1)), 0.02
    fitted = quick(Location(stats.norm(0, np.sqrt(variance))), n_sleep=200, max_iter=200).fit(X)
    mode = X.sum() / 2 / (len(X) / 2 + 1 / variance)
    assert_allclose(fitted.params_["mean"], mode, rtol=0.1)
    assert abs(fitted.estimate_gradient(X, random_state=0)[0]) < 0.1  # that of the likelihood is one


def test_prior_is_weighed_with_all_rows_of_a_stream(rng):
    X = rng.standard_normal((40, 1))
    fitted = quick(Location(stats.norm())).partial_fit(X)
    trainer, _ = continued_training(fitted, fitted._fitted.model, X, measure(X), partial=True)
    assert trainer._problem.n_rows == 80


class PenalizedFactors(LatentFactors):
    """A flat model in units of its own, with a prior on loadings in the units of the columns."""

    def log_prior_params(self, theta):
        return -0.5 * (self.unpack(theta)["loadings"] ** 2).sum()


@pytest.mark.parametrize("model", [PenalizedFactors(3, 1), LatentFactors(3, 1)])
def test_score_of_a_problem_and_its_gradient_have_the_prior(model, rng):
    X = 10 * clusters(50)
    problem = amortised_problem(quick(model), model, X, units_for(GuardedModel(model), measure(X)), "auto")
    theta = problem.projected(rng.standard_normal(model.n_params))
    in_units = problem.params_in_units(theta)
    prior = model.log_prior_params(in_units) if isinstance(model, PenalizedFactors) else 0.0
    without = problem.model.log_likelihood(theta, problem.X).mean()
    assert_allclose(problem.score(theta, problem.X), without + prior / 50)
    expected = slope(lambda end: problem.score(end, problem.X), theta)
    assert_allclose(problem.grad_score(theta, problem.X), expected, rtol=1e-5, atol=1e-6)


def test_prior_that_excludes_the_start_raises():
    with pytest.raises(ModelError, match="log prior of 'mean' of Location is not finite at the start"):
        quick(Location(stats.uniform(1, 2))).fit(np.ones((10, 1)))


# ---------------------------------------------------------------------- mistakes of models


class Declares(Clusters):
    def __init__(self, declared=None):
        super().__init__()
        self.declared = declared

    def parameters(self):
        return self.declared


@pytest.mark.parametrize(
    ("declared", "error", "message"),
    [
        ({}, TypeError, "parameters of Declares must be a dict of parameters"),
        ([Real()], TypeError, "parameters of Declares must be a dict of parameters"),
        ({"a": 3}, TypeError, "Parameter 'a' of Declares must be one such as Real"),
        ({"a": Real}, TypeError, "Parameter 'a' of Declares is the class Real. Did you mean Real"),
        ({"lambda": Real()}, ValueError, "name 'lambda' of a parameter of Declares must be a Python name"),
        ({"_a": Real()}, ValueError, "name '_a'"),
        ({1: Real()}, ValueError, "name 1 "),
    ],
)
def test_declarations_that_are_not_valid_raise(declared, error, message):
    with pytest.raises(error, match=message):
        quick(Declares(declared)).fit(clusters())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"nose": 1.0}, "values of Starts.initial_params have the name 'nose'"),
        ({"noise": -1.0}, "'noise' of values of Starts.initial_params must be positive. Got -1.0"),
        ({"loading": np.ones(2)}, r"'loading' of values of Starts.initial_params must be numbers of shape \(3,\)"),
        (np.ones(10), "Starts.initial_params must return values by name"),
    ],
)
def test_infeasible_starts_raise(given, message):
    class Starts(Clusters):
        def initial_params(self, X, rng):
            return given

    with pytest.raises(ModelError, match=message):
        quick(Starts()).fit(clusters())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda g: {**g, "nose": 0.0}, "gradients of Wrong.grad_log_joint have the name 'nose'"),
        (lambda g: {k: g[k] for k in g if k != "noise"}, "gradients of Wrong.grad_log_joint lack 'noise'"),
        (lambda g: {**g, "center": 0.0}, r"'center' of gradients of Wrong.grad_log_joint must have shape \(3,\)"),
        (lambda g: np.ones(10), "gradients of Wrong.grad_log_joint must be a dict by name"),
    ],
)
def test_wrong_gradients_raise(change, message):
    class Wrong(ByGradient):
        def grad_log_joint(self, params, z, x, weights):
            return change(super().grad_log_joint(params, z, x, weights))

    with pytest.raises(ModelError, match=message):
        quick(Wrong()).fit(clusters())


def test_wrong_results_name_the_class_of_the_declared_model():
    class Wrong(Clusters):
        def log_joint(self, params, z, x):
            return super().log_joint(params, z, x)[:, np.newaxis]

    with pytest.raises(ModelError, match=r"Wrong.log_joint must return an array of shape"):
        quick(Wrong()).fit(clusters())


@pytest.mark.parametrize("method", ["free", "pullback"])
def test_check_finds_a_wrong_constraint(method, rng):
    class Wrong(Positive):
        pass

    correct = getattr(Positive, method)
    setattr(Wrong, method, lambda self, *args: 1.01 * correct(self, *args))
    model = Declares({**Clusters().parameters(), "noise": Wrong(start=1.0)})
    with pytest.raises(ModelError, match="Wrong of 'noise' of Declares"):
        check_generative_model(model, VALUES, rng)


def test_check_needs_a_value_for_each_name(rng):
    with pytest.raises(ValueError, match="theta lack 'share'"):
        check_generative_model(Clusters(), {}, rng)
    with pytest.raises(ValueError, match="'noise' of theta must be positive"):
        check_generative_model(Clusters(), {**VALUES, "noise": 0}, rng)


def test_parameter_is_abstract():
    for call in (
        lambda p: p.value(np.zeros(())),
        lambda p: p.free(np.zeros(())),
        lambda p: p.pullback(np.zeros(()), np.zeros(())),
        lambda p: p.admits(np.zeros(()), True),
    ):
        with pytest.raises(NotImplementedError):
            call(Parameter())
