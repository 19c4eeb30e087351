"""What a fall of the likelihood means."""

from skwakesleep._engine.amortised.likelihood_watch import significant


def test_few_rows_do_not_tell_small_differences():
    """One series and eight parameters: nats of the order of eight are within what the data leave open."""
    assert significant(0.3, n_params=8, n_rows=1) == 8
    assert significant(0.3, n_params=120, n_rows=569) == 0.3
