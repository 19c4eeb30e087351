"""One thread for matrix products that are too small to gain much from more.

Threads of the linear algebra library wait for each other actively: on a machine with other work, small products can
take more than ten times as long as on one thread.
"""

import os
from contextlib import AbstractContextManager, nullcontext
from functools import cache

from threadpoolctl import ThreadpoolController

# Multiplications in a product that takes less than half a millisecond on one thread.
SMALL_PRODUCT = 2e7
# Whoever sets one of these decides the number of threads.
VARIABLES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "OMP_NUM_THREADS")


def limited_threads(n_multiplications: float) -> AbstractContextManager:
    """Return a context in which the linear algebra library has one thread, if products are small.

    Parameters
    ----------
    n_multiplications : float
        Multiplications in the largest product.
    """
    if n_multiplications > SMALL_PRODUCT or any(variable in os.environ for variable in VARIABLES):
        return nullcontext()
    return _controller().limit(limits=1, user_api="blas")


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()
