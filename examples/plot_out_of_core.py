"""
================================
Data that do not fit into memory
================================

A machine learns from a hundred rows at a time, so the other rows need not be in memory. This example writes a table to
disk, trains on it block by block with ``partial_fit``, and checks what one would hope for: that memory stays flat
however long the table is, and that what is learned is, bit for bit, what it would have been in memory.
"""

# %%
# A table on disk
# ---------------
#
# To have as many rows as we like, and to know how well they can be explained at best, we let a machine make them: the
# *teacher*, fitted to scikit-learn's digits with pixels that are ink or paper. Its dreams go to a file, one byte per
# pixel, which ``numpy.memmap`` shows as an array: what is read of it, the operating system fetches from the disk, and
# forgets when memory is short.

import tracemalloc
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from sklearn.datasets import load_digits
from threadpoolctl import threadpool_limits

from skwakesleep import HelmholtzMachine

threadpool_limits(1)  # matrices this small are not worth a second thread
digits = (load_digits().data >= 8).astype(np.float32)
teacher = HelmholtzMachine(40, max_iter=25, tol=None, random_state=0).fit(digits)

n_rows, n_columns = 80_000, digits.shape[1]
block_size = 2000
folder = TemporaryDirectory(ignore_cleanup_errors=True)
path = Path(folder.name) / "dreams.bin"

table = np.memmap(path, dtype=np.uint8, mode="w+", shape=(n_rows, n_columns))
for block, start in enumerate(range(0, n_rows, block_size)):
    table[start : start + block_size] = teacher.sample(block_size, random_state=block)
table.flush()
fresh = teacher.sample(500, random_state=n_rows)  # held out, to see how training gets on

# %%
# Block by block
# --------------
#
# Each call of ``partial_fit`` makes one pass through its block, in mini-batches of a hundred rows in a random order,
# and carries on where the last call ended: the state of the optimizer and of the random streams included. Whatever has
# to be done to the rows is done to a block at a time. Here, bytes become floating-point numbers of single precision.
#
# Two things are fixed by the first block: the kind of the columns, and the intercepts to start from. And rows are
# shuffled within a block, never between blocks. A table in some order, by date or by class, should therefore be written
# in a random one, or its blocks be visited so.


def blocks(table):
    """Yield a table in blocks of numbers that the machine can learn from."""
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
# ``tracemalloc`` sees what Python and NumPy allocate, at most at any time. Pages of a mapped file are not among it:
# they are the operating system's, and the first it takes back. A quarter, a half and the whole of the file show what
# depends on its length. For comparison, the same rows are trained on in memory, in one epoch of ``fit``.


def peak_megabytes(train):
    """Call a function, and return how much more memory was allocated meanwhile, at most."""
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

print("\nMemory in megabytes, at most")
print(f"  {'rows':>8}{'file':>8}{'by blocks':>12}{'in memory':>12}")
for n, flat, growing in zip(lengths, by_blocks, in_memory, strict=True):
    print(f"  {n:8}{n * n_columns / 1e6:8.1f}{flat:12.1f}{growing:12.1f}")

# %%
# The same machine
# ----------------
#
# Blocks of a mapped file are trained on as blocks of an array in memory would be: all parameters are equal, to the last
# bit. So are those of ``fit``, which takes a mapped array as a whole if it already has the type of a floating-point
# number: then, rows in a random order are fetched from the disk as they are needed. That asks for a fast disk, or for a
# file that the operating system can keep in memory after all. Blocks are read from one end to the other.


def parameters(machine):
    """Return all weights and intercepts of a machine in a row."""
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
# The picture
# -----------

import matplotlib.pyplot as plt

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
thousands = np.array(lengths) / 1000
left.plot(thousands, in_memory, "o-", color="C1", label="in memory")
left.plot(thousands, by_blocks, "o-", color="C0", label=f"blocks of {block_size} rows")
left.set(xlabel="rows (thousands)", ylabel="memory (megabytes)", title="Allocated at most")
left.set(xlim=(0, None), ylim=(0, None))
left.legend(loc="upper left")
right.plot(np.array(n_seen) / 1000, scores, "o-", color="C0", label="student")
right.axhline(teacher.score(fresh), color="0.5", linestyle="--", label="teacher, who made the rows")
right.set(xlabel="rows seen (thousands)", ylabel="log-likelihood (nats per row)", title="One pass through the file")
right.legend(loc="lower right")
plt.show()

folder.cleanup()
