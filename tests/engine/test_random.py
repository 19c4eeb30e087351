"""Random streams and sources of noise. Seeds are fixed; a p-value below 1e-3 fails."""

import pickle

import numpy as np
import pytest
from scipy.stats import chisquare, kstest, norm, qmc

from skwakesleep._engine.arrays.numpy_backend import NumpyBackend
from skwakesleep._engine.arrays.random import CoarseNoise, CommonNoise, FineNoise, Streams

SMALLEST_P = 1e-3
RESOLUTION = 2**16


def generator(seed=0):
    return np.random.Generator(np.random.SFC64(seed))


def coarse_noise(seed=0):
    return CoarseNoise(generator(seed), NumpyBackend())


def fine_noise(seed=0):
    return FineNoise(generator(seed))


# ---------------------------------------------------------------------- streams


def draws(streams):
    return {purpose: streams[purpose].random(5).tolist() for purpose in Streams.PURPOSES}


def test_equal_seeds_give_equal_streams():
    assert draws(Streams([1, 2])) == draws(Streams([1, 2]))
    assert Streams([1, 2]).validation_seed == Streams([1, 2]).validation_seed


@pytest.mark.parametrize("entropy", [0, [1, 3], None])
def test_other_seeds_give_other_streams(entropy):
    reference, other = draws(Streams([1, 2])), draws(Streams(entropy))
    assert all(reference[purpose] != other[purpose] for purpose in Streams.PURPOSES)


def test_no_two_purposes_share_a_stream():
    drawn = draws(Streams(0))
    assert len({tuple(numbers) for numbers in drawn.values()}) == len(Streams.PURPOSES)


def test_streams_are_independent_of_each_other():
    used, fresh = Streams(0), Streams(0)
    used["particles"].random(1000)
    used["shuffle"].permutation(10)
    np.testing.assert_array_equal(used["dreams"].random(5), fresh["dreams"].random(5))


def test_pickled_streams_continue():
    streams = Streams(0)
    draws(streams)
    assert draws(pickle.loads(pickle.dumps(streams))) == draws(streams)


def test_streams_do_not_use_the_global_generator():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    draws(Streams(None))
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


# The same seed must give the same draws in later versions.
ENTROPY = [1995, 12, 7]
FIRST_DRAWS = {
    "initialization": 0.17162573769329703,
    "shuffle": 0.1961642489140869,
    "particles": 0.3550606271963438,
    "dreams": 0.31586918700482014,
    "thinning": 0.20660040552212677,
}


def test_the_streams_of_a_seed_do_not_change():
    streams = Streams(ENTROPY)
    assert streams.validation_seed == 4263873307
    assert {purpose: streams[purpose].random() for purpose in Streams.PURPOSES} == FIRST_DRAWS


def test_the_replicas_of_a_seed_do_not_change():
    replicas = Streams(ENTROPY).replicas(2)
    assert [replica.validation_seed for replica in replicas] == [4263873307] * 2
    drawn = [[replica[purpose].random() for purpose in ("dreams", "shuffle")] for replica in replicas]
    assert drawn == [[0.07068662222894606, 0.1172278887720325], [0.25120141283991193, 0.9938019100350571]]


def test_the_noise_of_a_seed_does_not_change():
    coarse = coarse_noise().uniform((3,), np.float64)
    assert (coarse * RESOLUTION - 0.5).tolist() == [25394, 47466, 40543]
    assert fine_noise().uniform((2,), np.float64).tolist() == [0.5686892493917326, 0.23483041728695253]


# ---------------------------------------------------------------------- noise

N = 2**16
UNIFORMS = {
    "fine": lambda dtype: fine_noise().uniform((N, 4), dtype),
    "coarse": lambda dtype: coarse_noise().uniform((N, 4), dtype),
    "common": lambda dtype: CommonNoise(N, 4).uniform((1, N, 4), dtype)[0],
}


@pytest.mark.statistical
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("source", UNIFORMS)
def test_uniforms_are_uniform_and_independent(source, dtype):
    uniforms = UNIFORMS[source](dtype)
    assert uniforms.dtype == dtype
    assert uniforms.min() >= 0
    assert kstest(uniforms.ravel().astype(float), "uniform").pvalue > SMALLEST_P
    # The four uniforms of a row come from one random word (coarse) or one Sobol point (common).
    cells = (uniforms * 3).astype(int).clip(max=2) @ 3 ** np.arange(4)
    assert chisquare(np.bincount(cells, minlength=81)).pvalue > SMALLEST_P
    # Negative controls: a slightly different distribution, and one column twice.
    assert kstest(uniforms.ravel().astype(float) ** 1.02, "uniform").pvalue < SMALLEST_P
    cells = (uniforms[:, [0, 1, 2, 2]] * 3).astype(int).clip(max=2) @ 3 ** np.arange(4)
    assert chisquare(np.bincount(cells, minlength=81)).pvalue < SMALLEST_P


@pytest.mark.parametrize("noise", [fine_noise, coarse_noise])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_normals_are_normal(noise, dtype):
    normals = noise().normal((N,), dtype)
    assert normals.dtype == dtype
    assert kstest(normals.astype(float), "norm").pvalue > SMALLEST_P
    assert kstest(1.05 * normals.astype(float), "norm").pvalue < SMALLEST_P  # negative control


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_coarse_uniforms_have_the_stated_resolution(dtype):
    steps = coarse_noise().uniform((N,), dtype).astype(float) * RESOLUTION - 0.5
    np.testing.assert_array_equal(steps, np.round(steps))
    assert steps.min() >= 0
    assert steps.max() < RESOLUTION


@pytest.mark.parametrize("shape", [(1,), (3,), (2, 3), (5, 1, 7), (0, 4)])
def test_coarse_uniforms_of_any_shape(shape):
    assert coarse_noise().uniform(shape, np.float32).shape == shape


def test_coarse_uniforms_are_the_same_in_both_dtypes():
    pair = [coarse_noise().uniform((100,), dtype) for dtype in (np.float32, np.float64)]
    np.testing.assert_array_equal(*pair)


@pytest.mark.parametrize("n_particles", [1, 2, 5, 64, 100])
def test_common_noise_is_the_same_for_every_row(n_particles):
    uniforms = CommonNoise(n_particles, 3).uniform((7, n_particles, 3), np.float64)
    assert uniforms.shape == (7, n_particles, 3)
    assert (uniforms == uniforms[:1]).all()
    assert len(np.unique(uniforms[0])) == 3 * n_particles


def test_common_noise_uses_its_dimensions_in_turn_and_rewinds():
    noise = CommonNoise(8, 5)
    first, second = noise.uniform((1, 8, 2), np.float64).copy(), noise.uniform((1, 8, 3), np.float64).copy()
    whole = noise.rewind().uniform((1, 8, 5), np.float64)
    np.testing.assert_array_equal(np.concatenate([first, second], axis=-1), whole)
    np.testing.assert_array_equal(CommonNoise(8, 5).uniform((1, 8, 5), np.float64), whole)


def test_common_noise_is_low_discrepancy():
    sobol = qmc.discrepancy(CommonNoise(256, 4).uniform((1, 256, 4), np.float64)[0])
    independent = qmc.discrepancy(generator().random((256, 4)))
    assert sobol < independent / 10


def test_common_noise_beyond_sobols_dimensions():
    uniforms = CommonNoise(3, qmc.Sobol.MAXDIM + 1).uniform((1, 3, qmc.Sobol.MAXDIM + 1), np.float64)
    assert kstest(uniforms.ravel(), "uniform").pvalue > SMALLEST_P


def test_common_normals_are_those_of_the_same_uniforms():
    uniforms, normals = CommonNoise(64, 3).uniform((1, 64, 3), float), CommonNoise(64, 3).normal((1, 64, 3), float)
    np.testing.assert_allclose(norm.cdf(normals), uniforms, atol=1e-12)
    assert np.isfinite(normals).all()
