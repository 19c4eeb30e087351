"""Which backend computes: compiled loops where Numba is installed, or NumPy's."""

import os
import warnings
from functools import cache
from importlib.util import find_spec

from skwakesleep._engine.arrays.numpy_backend import NumpyBackend

VARIABLE = "SKWAKESLEEP_LOOPS"
CHOICES = ("auto", "numpy", "numba")


def default_backend() -> NumpyBackend:
    """Return a new backend of the kind that the environment names.

    With "auto", the default, these are compiled loops if Numba is installed. Numba is imported at the first call.

    Raises
    ------
    ValueError
        If the environment names an unknown kind.
    ImportError
        If it asks for Numba, which is not installed or cannot be imported.

    Warns
    -----
    RuntimeWarning
        Once, if "auto" finds that Numba is installed but fails.
    """
    name = os.environ.get(VARIABLE, "auto")
    if name not in CHOICES:
        raise ValueError(f"The environment variable {VARIABLE} must be 'auto', 'numpy' or 'numba', got {name!r}.")
    if name == "auto":
        return _fastest()()
    return NumpyBackend() if name == "numpy" else _numba_backend()()


def _numba_backend() -> type[NumpyBackend]:
    try:
        from skwakesleep._engine.arrays.numba_backend import NumbaBackend
    except ImportError as error:
        raise ImportError(f"{VARIABLE}=numba needs Numba. Install it with: pip install 'skwakesleep[fast]'") from error
    return NumbaBackend


@cache
def _fastest() -> type[NumpyBackend]:
    """Return the compiled backend, or that of NumPy where Numba is not installed or does not work."""
    if find_spec("numba") is None:
        return NumpyBackend
    try:
        return _numba_backend()
    except Exception as error:  # Numba that does not fit NumPy or Python raises errors of all kinds
        warnings.warn(
            f"Numba is installed but cannot be used ({type(error.__cause__ or error).__name__}: "
            f"{error.__cause__ or error}). Loops of NumPy are used instead, which are slower. Repair Numba, or set "
            f"{VARIABLE}=numpy to silence this warning.",
            RuntimeWarning,
            stacklevel=2,
        )
        return NumpyBackend
