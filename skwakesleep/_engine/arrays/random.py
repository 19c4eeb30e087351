"""Explicit randomness: one stream for each purpose, and interchangeable sources of noise."""

from copy import deepcopy
from math import prod
from typing import Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy.special import ndtri
from scipy.stats import qmc

from skwakesleep._engine.arrays.caching import cached
from skwakesleep._engine.arrays.numpy_backend import NumpyBackend
from skwakesleep._engine.arrays.workspace import allocated

# Largest size of the cache of common random numbers, in bytes. Those of 128 particles of 1000 units take 1 MB.
MAX_TABLE_BYTES = 2**25


class Streams:
    """Independent random generators, one for each named purpose, spawned from one seed.

    The training state holds them, so that a resumed training draws the same numbers as an uninterrupted one.

    Attributes
    ----------
    validation_seed : int
        Seeds the choice of held-out rows. A number, not a generator: a resumed training holds out the same rows.
    """

    PURPOSES = ("initialization", "shuffle", "particles", "dreams", "thinning")

    validation_seed: int
    _generators: dict[str, np.random.Generator]

    def __init__(self, entropy: int | list[int] | None) -> None:
        validation, *seeds = np.random.SeedSequence(entropy).spawn(1 + len(self.PURPOSES))
        self.validation_seed = int(validation.generate_state(1)[0])
        self._generators = {
            purpose: np.random.Generator(np.random.SFC64(seed))
            for purpose, seed in zip(self.PURPOSES, seeds, strict=True)
        }

    def __getitem__(self, purpose: str) -> np.random.Generator:
        return self._generators[purpose]

    def check(self) -> None:
        """Raise ValueError unless there are a seed and a stream for each purpose."""
        if self.validation_seed < 0:
            raise ValueError(f"validation_seed is negative: {self.validation_seed!r}")
        for purpose in self.PURPOSES:
            if purpose not in self._generators:
                raise ValueError(f"there is no random stream for {purpose!r}")

    def replicas(self, n: int) -> list["Streams"]:
        """Return streams that are independent of each other and of these, which are left alone.

        They hold out the same rows.
        """
        entropy = deepcopy(self["dreams"]).integers(2**32, size=4).tolist()
        replicas = [Streams([*entropy, number]) for number in range(n)]
        for replica in replicas:
            replica.validation_seed = self.validation_seed
        return replicas


class Noise(Protocol):
    """A source of random numbers for the samples of a layer."""

    def uniform(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray:
        """Return uniforms on [0, 1), in an array that the next call may overwrite."""

    def normal(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray:
        """Return standard normals, likewise."""

    def bernoulli(self, logits: NDArray, out: NDArray, backend: NumpyBackend) -> NDArray:
        """Write binary units into `out (B, K, N)`, given logits whose first two axes broadcast."""


class FineNoise:
    """Random numbers at the full resolution of the dtype, for samples that the user gets."""

    def __init__(self, generator: np.random.Generator) -> None:
        self._generator = generator

    def uniform(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray:
        return self._generator.random(dtype=dtype, out=allocated(shape, dtype))  # type: ignore[arg-type]

    def normal(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray:
        return self._generator.standard_normal(dtype=dtype, out=allocated(shape, dtype))  # type: ignore[arg-type]

    def bernoulli(self, logits: NDArray, out: NDArray, backend: NumpyBackend) -> NDArray:
        return _below_chances(self.uniform(out.shape, out.dtype), logits, out, backend)


class CoarseNoise(FineNoise):
    """Random numbers for training: each 64-bit random word gives four uniforms.

    A Bernoulli draw then takes a quarter of the time, and its probability is rounded to a multiple of 2^-16. This is
    far below the noise of a gradient, but too coarse for scores and for samples that the user gets.
    """

    # Uniforms made from one request for random words. NumPy allocates the words anew each time; beyond 128 kB the
    # allocator would have to ask the operating system.
    CHUNK = 2**15

    def __init__(self, generator: np.random.Generator, backend: NumpyBackend) -> None:
        super().__init__(generator)
        self._backend = backend.new()  # for scratch arrays of its own

    def uniform(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray:
        uniforms = self._backend.empty("uniform", (prod(shape),), dtype)
        for start in range(0, uniforms.size, self.CHUNK):
            part = uniforms[start : start + self.CHUNK]
            words = self._generator.bit_generator.random_raw(-(-part.size // 4))
            self._backend.uniforms(words, part)
        return uniforms.reshape(shape)

    def bernoulli(self, logits: NDArray, out: NDArray, backend: NumpyBackend) -> NDArray:
        n_rows, size = len(out), prod(out.shape[1:])
        step = max(1, self.CHUNK // size)
        for start in range(0, n_rows, step):
            part = out[start : start + step]
            words = self._generator.bit_generator.random_raw(-(-part.size // 4))
            self._backend.binary_units(words, logits if len(logits) == 1 else logits[start : start + step], part)
        return out


class CommonNoise:
    """The same uniforms for every row (common random numbers), so that the score of a row depends on this row alone.

    Particle ``k`` of every row is drawn from point ``k`` of a scrambled Sobol sequence with one dimension per hidden
    unit. Successive draws use successive dimensions, and pseudo-random numbers after the last.
    """

    SEED = 1995

    def __init__(self, n_particles: int, n_dimensions: int) -> None:
        self._table = _uniform_table(n_particles, n_dimensions, self.SEED)
        self._position = 0
        self._beyond: np.random.Generator | None = None

    def rewind(self) -> "CommonNoise":
        """Start again from the first dimension, for the next block of rows."""
        self._position = 0
        self._beyond = None
        return self

    def uniform(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray:
        _, n_particles, n_units = shape
        start, self._position = self._position, self._position + n_units
        if self._position <= self._table.shape[1]:
            uniforms = self._table[:n_particles, start : self._position]
        else:
            self._beyond = self._beyond or np.random.Generator(np.random.SFC64(self.SEED))
            uniforms = self._beyond.random((n_particles, n_units))
        return np.broadcast_to(uniforms.astype(dtype, copy=False), shape)

    def bernoulli(self, logits: NDArray, out: NDArray, backend: NumpyBackend) -> NDArray:
        return _below_chances(self.uniform(out.shape, out.dtype), logits, out, backend)

    def normal(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray:
        return ndtri(np.maximum(self.uniform(shape, np.float64), np.finfo(np.float64).tiny)).astype(dtype)


def _below_chances(uniforms: NDArray, logits: NDArray, out: NDArray, backend: NumpyBackend) -> NDArray:
    chances = backend.sigmoid(logits, backend.empty("chances", logits.shape, logits.dtype))
    return np.less(uniforms, chances, out=out)


@cached(MAX_TABLE_BYTES)
def _uniform_table(n_particles: int, n_dimensions: int, seed: int) -> NDArray:
    """Return uniforms ``(n_particles, n_dimensions)``, equidistributed as far as Sobol sequences go."""
    table = allocated((n_particles, n_dimensions), np.float64, "n_score_particles or hidden_layer_sizes")
    generator = np.random.default_rng(seed)
    if n_dimensions > qmc.Sobol.MAXDIM:
        generator.random(out=table)
    else:
        # Whole powers of two keep the sequence balanced; the surplus is dropped.
        sobol = qmc.Sobol(n_dimensions, scramble=True, rng=generator)
        table[...] = sobol.random_base2((n_particles - 1).bit_length())[:n_particles]
    table.flags.writeable = False
    return table
