"""One thread for small matrix products.

Threads of the linear algebra library wait actively. On a busy machine, small products can take more than ten times as
long as with one thread.
"""

import os
from contextlib import AbstractContextManager, nullcontext
from functools import cache

from threadpoolctl import ThreadpoolController

# Number of multiplications in a product that takes about half a millisecond with one thread.
SMALL_PRODUCT = 2e7
# If the user sets one of these, the number of threads is not changed.
VARIABLES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "OMP_NUM_THREADS")


def limited_threads(n_multiplications: float) -> AbstractContextManager:
    """Return a context in which the linear algebra library uses one thread if products are small.

    Parameters
    ----------
    n_multiplications : float
        Number of multiplications in the largest product.
    """
    if n_multiplications > SMALL_PRODUCT or any(variable in os.environ for variable in VARIABLES):
        return nullcontext()
    return _controller().limit(limits=1, user_api="blas")


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()
