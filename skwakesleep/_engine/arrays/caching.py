"""A cache of arrays with a bound on its size in bytes."""

from collections.abc import Callable, Hashable
from functools import wraps
from threading import Lock

from numpy.typing import NDArray


def cached(max_bytes: int) -> Callable[[Callable[..., NDArray]], Callable[..., NDArray]]:
    """Return a decorator that caches the arrays returned by a function, the latest ones up to `max_bytes` in total.

    A larger array is not cached. The arrays are shared by all callers, who must not write to them.
    """

    def decorate(make: Callable[..., NDArray]) -> Callable[..., NDArray]:
        kept: dict[Hashable, NDArray] = {}
        lock = Lock()  # for adding only: looking up an entry is atomic

        @wraps(make)
        def cached_make(*key: Hashable) -> NDArray:
            array = kept.get(key)
            if array is None:
                array = make(*key)
                if array.nbytes <= max_bytes:
                    with lock:
                        kept[key] = array
                        while sum(other.nbytes for other in kept.values()) > max_bytes:
                            del kept[next(iter(kept))]
            return array

        return cached_make

    return decorate
