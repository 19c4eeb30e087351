"""One thread for matrix products that are too small to gain from more.

Threads of the linear algebra library wait for each other actively. On a machine with other work, small products then
take ten or more times as long as on one thread.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any

from threadpoolctl import ThreadpoolController

# Multiplications in a product that two threads compute hardly faster than one, even on an idle machine.
SMALL_PRODUCT = 2e7
# Whoever sets one of these decides the number of threads.
VARIABLES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "OMP_NUM_THREADS")


class _Limit:
    """The limit of the process: set by the first to ask for it, lifted by the last, whichever thread they are in."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._n_users = 0
        self._limit: Any = None

    def __enter__(self) -> None:
        with self._lock:
            if self._n_users == 0:
                self._limit = _controller().limit(limits=1, user_api="blas")
            self._n_users += 1

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._n_users -= 1
            if self._n_users == 0:
                self._limit.restore_original_limits()


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


_LIMIT = _Limit()


@contextmanager
def limited_threads(n_multiplications: float) -> Iterator[None]:
    """Compute with one thread of the linear algebra library if the largest product is this small.

    Parameters
    ----------
    n_multiplications : float
        Multiplications in the largest product.
    """
    if n_multiplications > SMALL_PRODUCT or any(variable in os.environ for variable in VARIABLES):
        yield
        return
    with _LIMIT:
        yield
