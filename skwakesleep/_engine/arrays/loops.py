"""Which hot loops run: NumPy's, or compiled ones where the environment asks for them.

The choice holds for a process and those it starts, such as the workers of a grid search, and is made when the engine is
first imported.
"""

import os
from types import ModuleType

from skwakesleep._engine.arrays import array_loops

VARIABLE = "SKWAKESLEEP_LOOPS"


def chosen() -> ModuleType:
    """Return the module of loops that the environment names.

    Raises
    ------
    ValueError
        When it names one that there is not.
    ImportError
        When Numba is asked for and not installed.
    """
    name = os.environ.get(VARIABLE, "numpy")
    if name == "numpy":
        return array_loops
    if name != "numba":
        raise ValueError(f"The environment variable {VARIABLE} must be 'numpy' or 'numba', got {name!r}.")
    try:
        from skwakesleep._engine.arrays import compiled_loops
    except ImportError as error:
        raise ImportError(f"{VARIABLE}=numba needs Numba. Install it with: pip install 'skwakesleep[fast]'") from error
    return compiled_loops


LOOPS = chosen()
