"""The number of threads of the linear algebra library: one during small computations, and restored afterwards."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from skwakesleep import AmortisedWakeSleep, _fitted_machine, _fitted_model, _helmholtz_machine
from skwakesleep._adapters.threads import SMALL_PRODUCT, VARIABLES, limited_threads
from skwakesleep._engine.machine.wake_sleep import WakeSleep


def n_threads():
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


@pytest.fixture
def two_threads(monkeypatch):
    """Set the library to two threads, without any environment variable."""
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    with threadpool_limits(2, user_api="blas"):
        if n_threads() != {2}:
            pytest.skip("the linear algebra library has one thread")
        yield


@pytest.mark.usefixtures("two_threads")
def test_small_products_use_one_thread_and_large_ones_all():
    with limited_threads(SMALL_PRODUCT):
        assert n_threads() == {1}
    assert n_threads() == {2}
    with limited_threads(SMALL_PRODUCT + 1):
        assert n_threads() == {2}


@pytest.mark.usefixtures("two_threads")
def test_the_limit_ends_after_an_error():
    with pytest.raises(KeyError), limited_threads(1):
        raise KeyError
    assert n_threads() == {2}


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("variable", VARIABLES)
def test_environment_variables_take_precedence(variable, monkeypatch):
    monkeypatch.setenv(variable, "2")
    with limited_threads(1):
        assert n_threads() == {2}


@pytest.mark.usefixtures("two_threads")
def test_concurrent_limits_restore_the_number():
    together = Barrier(2)

    def limited(_):
        with limited_threads(1):
            together.wait()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(limited, range(2)))
    assert n_threads() == {2}


@pytest.fixture
def limits(monkeypatch):
    """Return the list of the numbers of threads in each context so far."""
    seen = []

    @contextmanager
    def recorded(n_multiplications):
        with limited_threads(n_multiplications):
            seen.append(n_threads())
            yield

    for module in _helmholtz_machine, _fitted_machine, _fitted_model:
        monkeypatch.setattr(module, "limited_threads", recorded)
    return seen


METHODS = ["fit", "partial_fit", "transform", "score", "sample", "inverse_transform", "certify"]


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("method", METHODS)
def test_methods_of_small_machines_use_one_thread(method, binary, small, limits):
    machine = small().fit(binary)
    limits.clear()
    arguments = {"sample": (), "certify": (4,), "inverse_transform": (np.zeros((4, 3)),)}.get(method, (binary,))
    getattr(machine, method)(*arguments)
    assert limits == [{1}]
    assert n_threads() == {2}


@pytest.mark.usefixtures("two_threads")
def test_an_interrupt_ends_the_limit(binary, small, monkeypatch):
    def interrupt(objective, batch):
        assert n_threads() == {1}
        raise KeyboardInterrupt

    monkeypatch.setattr(WakeSleep, "__call__", interrupt)
    with pytest.raises(KeyboardInterrupt):
        small().fit(binary)
    assert n_threads() == {2}


@pytest.mark.usefixtures("two_threads")
def test_amortised_fits_of_small_models_use_one_thread(real, limits):
    AmortisedWakeSleep(n_sleep=20, max_iter=1, random_state=0).fit(real)
    assert limits == [{1}]
    assert n_threads() == {2}
