"""Which backend computes: NumPy's, or compiled loops where the environment asks for them."""

import os

from skwakesleep._engine.arrays.numpy_backend import NumpyBackend

VARIABLE = "SKWAKESLEEP_LOOPS"


def default_backend() -> NumpyBackend:
    """Return a new backend of the kind that the environment names.

    Raises
    ------
    ValueError
        If the environment names an unknown kind.
    ImportError
        If it asks for Numba, which is not installed.
    """
    name = os.environ.get(VARIABLE, "numpy")
    if name == "numpy":
        return NumpyBackend()
    if name != "numba":
        raise ValueError(f"The environment variable {VARIABLE} must be 'numpy' or 'numba', got {name!r}.")
    try:
        from skwakesleep._engine.arrays.numba_backend import NumbaBackend
    except ImportError as error:
        raise ImportError(f"{VARIABLE}=numba needs Numba. Install it with: pip install 'skwakesleep[fast]'") from error
    return NumbaBackend()
