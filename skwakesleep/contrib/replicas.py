"""Training in several processes: replicas are trained separately, each on its part of the data, and averaged.

Averaging the parameters once per epoch needs far less communication than exchanging gradients at every step. Any tool
that runs functions in other processes can be used.
"""

from collections.abc import Iterable
from copy import copy
from typing import Any

from sklearn.utils.validation import check_is_fitted

from skwakesleep import HelmholtzMachine
from skwakesleep._adapters.parameters import check_n_samples
from skwakesleep._engine.machine.restandardization import unified
from skwakesleep._engine.training.state import mean_state
from skwakesleep._fitted_machine import fitted_attributes

__all__ = ["average", "replicate"]


def replicate(machine: HelmholtzMachine, n_replicas: int) -> list[HelmholtzMachine]:
    """Copy a fitted machine, to train the copies in several processes by ``partial_fit``.

    The copies are equal except for their random numbers, which are independent.

    Parameters
    ----------
    machine : HelmholtzMachine
        Fitted machine, which is not changed. One call of ``partial_fit`` on some of the rows is enough.

    n_replicas : int
        Number of copies.

    Returns
    -------
    replicas : list of HelmholtzMachine
        The copies. They share memory until they are trained or sent to another process.

    Raises
    ------
    NotFittedError
        If the machine is not fitted: copies with different initial parameters would order their hidden units
        differently, and could not be averaged.

    ValueError
        If `n_replicas` is less than one, or if the training state of the machine was discarded.

    See Also
    --------
    average : Average the trained copies.

    Examples
    --------
    Two parts of the data, in ten rounds. In place of ``map``, use a function that runs its calls in other processes.

    >>> import numpy as np
    >>> from skwakesleep import HelmholtzMachine
    >>> from skwakesleep.contrib.replicas import average, replicate
    >>> X = np.repeat(np.random.default_rng(0).integers(2, size=(200, 2)), 4, axis=1)
    >>> parts = X[:100], X[100:]
    >>> machine = HelmholtzMachine(4, batch_size=10, random_state=0).partial_fit(parts[0])
    >>> for _ in range(10):
    ...     machine = average(map(HelmholtzMachine.partial_fit, replicate(machine, 2), parts))
    >>> machine.n_iter_
    11
    >>> machine.score(X) > -3  # nats per row; independent columns have -5.5
    True
    """
    check_is_fitted(machine)
    replicas = []
    for streams in machine._training_state().streams.replicas(check_n_samples(n_replicas, "n_replicas")):
        state = copy(machine._fitted.state)
        state.streams = streams
        replicas.append(_with(machine, machine._fitted.machine, state))
    return replicas


def average(replicas: Iterable[HelmholtzMachine]) -> HelmholtzMachine:
    """Average replicas of one machine that were trained for the same number of epochs.

    The whole state of training is averaged: the parameters, their running average, the state of the solver and the
    recorded lower bounds. All replicas have the same weight, so their parts of the data should be of similar size.

    Parameters
    ----------
    replicas : iterable of HelmholtzMachine
        Machines made by one call of `replicate` and trained since. They are not changed.

    Returns
    -------
    machine : HelmholtzMachine
        Their mean.

    Raises
    ------
    ValueError
        If there are none, if they are not replicas of one machine, if their numbers of epochs differ, or if the
        training state of one was discarded.

    See Also
    --------
    replicate : Make replicas, with an example.

    Notes
    -----
    This is iterative parameter mixing [1]_ or local SGD [2]_. Average at least once per epoch: the mean of replicas
    whose parameters differ much is a poor machine. ``W`` replicas with mini-batches of ``batch_size / W`` rows take as
    many steps as one machine, each on the same number of rows in total.

    References
    ----------
    .. [1] R. McDonald, K. Hall, G. Mann. "Distributed training strategies for the structured perceptron". NAACL 2010,
       456-464.
    .. [2] Sebastian U. Stich. "Local SGD converges fast and communicates little". ICLR 2019. arXiv:1805.09767.

    Examples
    --------
    >>> from skwakesleep import HelmholtzMachine
    >>> from skwakesleep.datasets import make_bars
    >>> from skwakesleep.contrib.replicas import average, replicate
    >>> X, _ = make_bars(100, random_state=0)
    >>> first, second = replicate(HelmholtzMachine(4, random_state=0).partial_fit(X), 2)
    >>> mean = average([first.partial_fit(X[:50]), second.partial_fit(X[50:])])
    >>> mean.prior_intercept_.shape, mean.n_iter_
    ((4,), 2)
    """
    replicas = list(replicas)
    _check_replicas(replicas)
    machine, states = unified([replica._fitted for replica in replicas])
    return _with(replicas[0], machine, mean_state(states))


def _check_replicas(replicas: list[HelmholtzMachine]) -> None:
    if not replicas:
        raise ValueError("There are no replicas to average.")
    first = replicas[0]
    for replica in replicas:
        check_is_fitted(replica)
        groups, first_groups = (one._fitted.machine.layout.groups for one in (replica, first))
        if groups != first_groups or list(replica.visible_) != list(first.visible_):
            raise ValueError(
                "Machines of different networks or columns cannot be averaged: use replicas of one machine."
            )
        if replica.n_iter_ != first.n_iter_:
            raise ValueError(
                f"Replicas must have been trained for as many epochs as each other. Got {first.n_iter_} and "
                f"{replica.n_iter_}."
            )
        replica._training_state()  # raises if it was discarded


def _with(estimator: HelmholtzMachine, machine: Any, state: Any) -> HelmholtzMachine:
    """Return a copy of an estimator with another machine and state of training."""
    other: Any = copy(estimator)
    vars(other).update(fitted_attributes(machine, state))
    return other
