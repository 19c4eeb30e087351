"""Scratch arrays that outlive a step, so that hot loops allocate nothing."""

from collections.abc import Hashable
from math import prod

import numpy as np
from numpy.typing import DTypeLike, NDArray


class Workspace:
    """Named scratch arrays, grown on demand and handed out again at the next request.

    A workspace belongs to one thread. It is neither copied nor pickled with its owner: what it holds
    has no meaning between two steps.
    """

    def __init__(self) -> None:
        self._arrays: dict[Hashable, NDArray] = {}

    def array(self, name: Hashable, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray:
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
        memory = None if array is None else array.base  # the owner, however often it was reshaped
        if memory is None or memory.dtype != dtype or memory.size < size:
            memory = _allocated(size, shape, dtype)
        return memory.reshape(-1)[:size].reshape(shape)

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return Workspace, ()


def _allocated(size: int, shape: tuple[int, ...], dtype: np.dtype) -> NDArray:
    try:
        return np.empty(size, dtype)
    except MemoryError as error:
        raise MemoryError(
            f"{size * dtype.itemsize} bytes cannot be allocated for a scratch array of shape {shape} (particles, rows, "
            "units). Lower n_particles, n_score_particles, batch_size or hidden_layer_sizes."
        ) from error
