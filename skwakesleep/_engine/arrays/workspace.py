"""Scratch arrays that are reused from step to step, so that hot loops allocate nothing."""

from collections.abc import Hashable
from math import prod

import numpy as np
from numpy.typing import DTypeLike, NDArray

SIZED_BY = "n_particles, n_score_particles, n_samples, batch_size or hidden_layer_sizes"


class Workspace:
    """Named scratch arrays, which are allocated at the first request, reused at the next, and grown if needed.

    A workspace belongs to one thread.
    """

    def __init__(self) -> None:
        self._arrays: dict[Hashable, NDArray] = {}

    def empty(self, name: Hashable, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray:
        """Return the uninitialized array called `name`, in the given shape and dtype."""
        array = self._arrays.get(name)
        if array is not None and array.shape == shape and array.dtype == dtype:
            return array
        array = self._reshaped(array, shape, np.dtype(dtype))
        self._arrays[name] = array
        return array

    @staticmethod
    def _reshaped(array: NDArray | None, shape: tuple[int, ...], dtype: np.dtype) -> NDArray:
        size = prod(shape)
        memory = None if array is None else array.base  # the array that owns the memory
        if memory is None or memory.dtype != dtype or memory.size < size:
            memory = allocated(shape, dtype).reshape(-1)
        return memory.reshape(-1)[:size].reshape(shape)


def allocated(shape: tuple[int, ...], dtype: DTypeLike, parameters: str = SIZED_BY) -> NDArray:
    """Return an uninitialized array.

    Raises
    ------
    MemoryError
        With the number of bytes, and the user's parameters that determine it.
    """
    try:
        return np.empty(shape, dtype)
    except (MemoryError, ValueError) as error:  # NumPy raises the latter beyond the address space
        n_bytes = np.dtype(dtype).itemsize * prod(shape)
        raise MemoryError(
            f"{n_bytes} bytes cannot be allocated for an array of shape {shape}. Lower {parameters}."
        ) from error
