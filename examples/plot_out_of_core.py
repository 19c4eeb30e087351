"""
================================
Data that do not fit into memory
================================

A training step uses a hundred rows, so that the other rows need not be in memory. This example writes a table to disk,
and trains on it block by block with ``partial_fit``. It shows that the memory does not depend on the length of the
table, and that the fitted parameters are equal, bit by bit, to those of training in memory.
"""

# %%
# A table on disk
# ---------------
#
# A machine generates the rows, so that their number is unlimited and the best possible score is known. This *teacher*
# is fitted to scikit-learn's digits with binary pixels. Its dreams are written to a file with one byte per pixel.
# ``numpy.memmap`` maps the file to an array. The operating system reads parts of it from the disk on access, and frees
# their memory when needed.

import tracemalloc
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from sklearn.datasets import load_digits
from threadpoolctl import threadpool_limits

from skwakesleep import HelmholtzMachine

threadpool_limits(1)  # matrices this small are faster with one thread
digits = (load_digits().data >= 8).astype(np.float32)
teacher = HelmholtzMachine(40, random_state=0).fit(digits)

n_rows, n_columns = 80_000, digits.shape[1]
block_size = 2000
folder = TemporaryDirectory(ignore_cleanup_errors=True)
path = Path(folder.name) / "dreams.bin"

table = np.memmap(path, dtype=np.uint8, mode="w+", shape=(n_rows, n_columns))
for block, start in enumerate(range(0, n_rows, block_size)):
    table[start : start + block_size] = teacher.sample(block_size, random_state=block)
table.flush()
fresh = teacher.sample(500, random_state=n_rows)  # held out, to score the training

# %%
# Block by block
# --------------
#
# Each call of ``partial_fit`` makes one pass through its block, in mini-batches of a hundred rows in random order. It
# continues from the state of the last call, including the state of the optimizer and of the random streams.
# Preprocessing is done block by block. Here, bytes are converted to single precision.
#
# The first block determines the kind of the columns and the initial intercepts. Rows are shuffled within a block, but
# not between blocks. If a table is sorted, by date or by class, shuffle it before it is written, or use its blocks in
# random order.


def blocks(table):
    """Yield the blocks of a table in single precision."""
    for start in range(0, len(table), block_size):
        yield table[start : start + block_size].astype(np.float32)


mapped = np.memmap(path, dtype=np.uint8, mode="r", shape=(n_rows, n_columns))
student = HelmholtzMachine(40, random_state=1)
n_seen, scores = [], []
for number, block in enumerate(blocks(mapped), start=1):
    student.partial_fit(block)
    if number % 4 == 1 or number * block_size == n_rows:
        n_seen.append(number * block_size)
        scores.append(student.score(fresh))
print(f"after {n_rows} rows   {scores[-1]:.2f} nats per row on fresh dreams")
print(f"teacher             {teacher.score(fresh):.2f}")

# %%
# Memory
# ------
#
# ``tracemalloc`` measures the peak of the memory allocated by Python and NumPy. It does not include the pages of a
# mapped file, which the operating system can free at any time. We measure the memory with a quarter, a half and the
# whole of the file. For comparison, one epoch of ``fit`` trains on the same rows in memory.


def peak_megabytes(train):
    """Call a function, and return the peak of the memory allocated during the call."""
    tracemalloc.start()
    train()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def train_by_blocks(table):
    machine = HelmholtzMachine(40, random_state=1)
    for block in blocks(table):
        machine.partial_fit(block)


def train_in_memory(table):
    HelmholtzMachine(40, max_iter=1, tol=None, random_state=1).fit(np.asarray(table).astype(np.float32))


lengths = [n_rows // 4, n_rows // 2, n_rows]
by_blocks = [peak_megabytes(lambda n=n: train_by_blocks(mapped[:n])) for n in lengths]
in_memory = [peak_megabytes(lambda n=n: train_in_memory(mapped[:n])) for n in lengths]

print("\nPeak memory in megabytes")
print(f"  {'rows':>8}{'file':>8}{'by blocks':>12}{'in memory':>12}")
for n, of_blocks, of_all in zip(lengths, by_blocks, in_memory, strict=True):
    print(f"  {n:8}{n * n_columns / 1e6:8.1f}{of_blocks:12.1f}{of_all:12.1f}")

# %%
# Equal parameters
# ----------------
#
# With blocks of a mapped file and blocks of an array in memory, all parameters are equal bit by bit. The same holds for
# ``fit`` on a whole mapped array of floating-point numbers. ``fit`` reads rows from the disk in random order. This
# needs a fast disk, or a file that the operating system can keep in memory. Blocks are read in sequence.


def parameters(machine):
    """Return all weights and intercepts of a machine in one array."""
    views = [
        *machine.generative_coefs_,
        *machine.generative_intercepts_,
        machine.prior_intercept_,
        *machine.autoregressive_coefs_.values(),
        *machine.recognition_coefs_,
        *machine.recognition_intercepts_,
    ]
    return np.concatenate([view.ravel() for view in views])


some_rows = 5 * block_size
from_file, from_memory = HelmholtzMachine(40, random_state=1), HelmholtzMachine(40, random_state=1)
for block, rows in zip(blocks(mapped[:some_rows]), blocks(np.array(mapped[:some_rows])), strict=True):
    from_file.partial_fit(block)
    from_memory.partial_fit(rows)
print("\npartial_fit, file and memory equal:", np.array_equal(parameters(from_file), parameters(from_memory)))

np.save(Path(folder.name) / "rows.npy", mapped[:some_rows].astype(np.float32))
rows = np.load(Path(folder.name) / "rows.npy", mmap_mode="r")
whole = HelmholtzMachine(40, max_iter=2, tol=None, random_state=1)
from_file = parameters(whole.fit(rows))
print("fit, file and memory equal:        ", np.array_equal(from_file, parameters(whole.fit(np.array(rows)))))

# %%
# Figure
# ------

import matplotlib.pyplot as plt

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
thousands = np.array(lengths) / 1000
left.plot(thousands, in_memory, "o-", color="C1", label="in memory")
left.plot(thousands, by_blocks, "o-", color="C0", label=f"blocks of {block_size} rows")
left.set(xlabel="rows (thousands)", ylabel="memory (megabytes)", title="Peak memory")
left.set(xlim=(0, None), ylim=(0, None))
left.legend(loc="upper left")
right.plot(np.array(n_seen) / 1000, scores, "o-", color="C0", label="student")
right.axhline(teacher.score(fresh), color="0.5", linestyle="--", label="teacher, which generated the rows")
right.set(xlabel="rows seen (thousands)", ylabel="log-likelihood (nats per row)", title="One pass through the file")
right.legend(loc="lower right")
plt.show()

folder.cleanup()
