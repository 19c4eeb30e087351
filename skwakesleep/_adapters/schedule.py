"""Automatic sizes of mini-batches, and numbers of epochs."""

# Rows in a batch of batch_size="auto", and batches in an epoch of a small table: the scale of the prior on the weights
# comes from differences between batches.
LARGEST_BATCH, MIN_BATCHES = 100, 10
# Largest number of epochs with max_iter="auto": this number, and as many as make this number of steps.
EPOCHS, STEPS = 20, 5000


def rows_in_a_batch(batch_size: int | str, n_rows: int) -> int:
    """Return the number of rows in a mini-batch."""
    if isinstance(batch_size, str):
        return min(LARGEST_BATCH, -(-n_rows // MIN_BATCHES))
    return min(batch_size, n_rows)


def largest_n_epochs(max_iter: int | str, batch_size: int | str, n_rows: int) -> int:
    """Return the largest number of epochs of a fit."""
    if not isinstance(max_iter, str):
        return max_iter
    n_batches = -(-n_rows // rows_in_a_batch(batch_size, n_rows))
    return max(EPOCHS, -(-STEPS // n_batches))
