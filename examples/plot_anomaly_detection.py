"""
======================================================
Anomalies, with p-values from the machine's own dreams
======================================================

A low log-likelihood is suspicious, but how low is low? A machine can answer for itself: it dreams of as many rows as
one likes, and the share of dreams that score no higher than a row is a p-value. This example computes such p-values for
digits, asks whether they are what p-values should be, controls the false discovery rate with them, and compares what
held-out data give in their place.
"""

# %%
# Digits, and what is none
# ------------------------
#
# Pixels are ink or paper. A thousand images are for training, the others are held out. Anomalies are made from held-out
# images: with four pixels inverted, with the lower half of another image, and upside down, where some digits are still
# digits.

import numpy as np
from scipy.stats import false_discovery_control, kstest
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from threadpoolctl import threadpool_limits

from skwakesleep import HelmholtzMachine

threadpool_limits(1)  # matrices this small are not worth a second thread
digits = load_digits()
X = (digits.data >= 8).astype(np.float32)
train, held_out = train_test_split(X, train_size=1000, random_state=0, stratify=digits.target)

rng = np.random.default_rng(0)
some_pixels = rng.permuted(np.tile(np.arange(64) < 4, (len(held_out), 1)), axis=1)
anomalies = {
    "4 pixels inverted": np.abs(held_out - some_pixels).astype(np.float32),
    "halves of two digits": np.hstack([held_out[:, :32], held_out[rng.permutation(len(held_out)), 32:]]),
    "upside down": held_out[:, ::-1],
}

machine = HelmholtzMachine(100, max_iter=60, tol=None, random_state=0).fit(train)

# %%
# P-values from dreams
# --------------------
#
# If the machine were true, a row of data would be one more dream. Its rank among the dreams would then be uniform, and
# the p-value exact. That holds for any score, so it does not matter here that `score_samples` is an estimate: dreams
# and data are scored by one and the same function.


def p_values(scores, reference):
    """Return the share of the reference that scores no higher, the row itself counted in."""
    return (1 + np.searchsorted(np.sort(reference), scores, side="right")) / (1 + len(reference))


dreamed = machine.score_samples(machine.sample(5000, random_state=0))
scores = {
    "fresh dreams": machine.score_samples(machine.sample(1000, random_state=1)),
    "training images": machine.score_samples(train),
    "held-out images": machine.score_samples(held_out),
    **{name: machine.score_samples(images) for name, images in anomalies.items()},
}
levels = [0.01, 0.05, 0.1, 0.5]

print("Share of p-values, from dreams, that are at most")
print(f"  {'':22}" + "".join(f"{level:>8}" for level in levels) + f"{'distance to uniform':>22}")
for name, values in scores.items():
    p = p_values(values, dreamed)
    shares = "".join(f"{np.mean(p <= level):8.3f}" for level in levels)
    print(f"  {name:22}{shares}{kstest(p, 'uniform').statistic:22.3f}")

# %%
# Fresh dreams have uniform p-values, as they must: a check of the procedure. Held-out images tell about the machine. If
# it were perfect, their p-values would be uniform too, and the last column, the distance of Kolmogorov and Smirnov,
# would be no more than about 1.4 by the square root of the number of images, here 0.05, in 95 of 100 cases. What counts
# for anomalies is the left tail: at the smallest level, more images fall below it than should. Real digits have a
# longer tail than dreams, of rare shapes that a thousand training images did not teach the machine to expect. Training
# images, in turn, score better than dreams; they must never serve as a reference.
#
# Calibration by held-out data
# ----------------------------
#
# Held-out rows may stand in for the dreams. The rank of one among others is uniform whatever the machine is worth, as
# long as all come from one source: such p-values are called conformal [1]_. The price is data that could have been
# trained on, and a limit to how small a p-value can get: with 400 rows of reference none is below 1/401, while dreams
# can be had by the million. Dreams, then, where data are few or the machine is known to be good; held-out data where
# neither is so.
#
# It makes a difference when many rows are tested at once, and a *false discovery rate* is to be kept, the expected
# share of false alarms among the alarms. The procedure of Benjamini and Hochberg [2]_ is in SciPy; for conformal
# p-values, which share their reference, it was shown to hold as well [1]_. In each of 300 trials, the held-out images
# are divided anew into 400 for reference and 360 to be tested along with 40 anomalies.
#
# .. [1] S. Bates, E. Candès, L. Lei, Y. Romano, M. Sesia. "Testing for outliers with conformal p-values". Annals of
#    Statistics 51 (2023) 149-178.
# .. [2] Y. Benjamini, Y. Hochberg. "Controlling the false discovery rate: a practical and powerful approach to multiple
#    testing". Journal of the Royal Statistical Society B 57 (1995) 289-300.

all_anomalies = np.concatenate([scores["4 pixels inverted"], scores["halves of two digits"]])
is_anomaly = np.arange(400) < 40
rates = np.array([0.05, 0.1, 0.2, 0.3])


def trial(rng):
    """Return the share of false alarms and of anomalies found, for each source of p-values and each rate asked for."""
    shuffled = rng.permutation(scores["held-out images"])
    tested = np.concatenate([rng.choice(all_anomalies, 40, replace=False), shuffled[400:760]])
    outcome = []
    for reference in (dreamed, shuffled[:400]):
        adjusted = false_discovery_control(p_values(tested, reference))
        alarms = adjusted[:, np.newaxis] <= rates
        false_alarms = (alarms & ~is_anomaly[:, np.newaxis]).sum(axis=0)
        outcome.append([false_alarms / np.maximum(alarms.sum(axis=0), 1), alarms[is_anomaly].mean(axis=0)])
    return outcome


outcomes = np.array([trial(rng) for _ in range(300)])
means, errors = outcomes.mean(axis=0), outcomes.std(axis=0, ddof=1) / np.sqrt(len(outcomes))
sources = ["dreams", "held-out images"]

print("\nFalse discovery rate")
print(f"  {'asked for':34}" + "".join(f"{rate:8.2f}" for rate in rates))
for source, (false_share, found) in zip(sources, means, strict=True):
    print(f"  {'rate, reference of ' + source:34}" + "".join(f"{share:8.3f}" for share in false_share))
    print(f"  {'anomalies found':34}" + "".join(f"{share:8.3f}" for share in found))

# %%
# One tail is not all
# -------------------
#
# Rows may also score too *well*. If an image is taken through the hidden units and back, and each pixel set to what is
# more likely, details that speak against it are gone. None of these images is conspicuous for a low score, but too many
# of their p-values are high. Which tail counts is for the user to say; twice the smaller of the shares on either side
# is a p-value for both.

tidied = (machine.inverse_transform(machine.transform(held_out)) >= 0.5).astype(np.float32)
tidied_scores = machine.score_samples(tidied)
lower, upper = p_values(tidied_scores, dreamed), p_values(-tidied_scores, -dreamed)
both = np.minimum(1, 2 * np.minimum(lower, upper))
print("\nTidied images, share of p-values that are at most 0.05")
for name, p in {"lower tail": lower, "upper tail": upper, "both": both}.items():
    print(f"  {name:12}{np.mean(p <= 0.05):.3f}")

# %%
# The picture
# -----------
#
# Above, the scores, and how often a p-value of a held-out image is at most so large: on the dashed line, if it is what
# it says. Below, the share of false alarms that there was for the one that was asked for, and the held-out images that
# the machine believes in least.

import matplotlib.pyplot as plt

from skwakesleep.plotting import ScoreDisplay

panels = [["scores", "p-values"], ["rates", "least"]]
figure, axes = plt.subplot_mosaic(panels, figsize=(10, 8.5), layout="constrained")
shown = ["held-out images", "4 pixels inverted", "halves of two digits"]
ScoreDisplay({**{name: scores[name] for name in shown}, "dreams": dreamed}).plot(ax=axes["scores"])

splits = [np.array_split(rng.permutation(scores["held-out images"]), 2) for _ in range(50)]
by_reference = {
    "dreams": p_values(scores["held-out images"], dreamed),
    "other held-out images": np.concatenate([p_values(tested, reference) for tested, reference in splits]),
}
for name, p in by_reference.items():
    axes["p-values"].step(np.sort(p), np.arange(1, len(p) + 1) / len(p), where="post", label=name)
axes["p-values"].plot([1e-3, 1], [1e-3, 1], color="0.5", linestyle="--", label="uniform")
axes["p-values"].set(xscale="log", yscale="log", xlim=(1e-3, 1), ylim=(1e-3, 1), aspect="equal")
axes["p-values"].set(xlabel="p-value", ylabel="share of held-out images", title="Are they p-values?")
axes["p-values"].legend(title="reference", loc="lower right")

for source, (false_share, _), (error, _) in zip(sources, means, errors, strict=True):
    axes["rates"].errorbar(rates, false_share, yerr=2 * error, fmt="o-", capsize=3, label=source)
axes["rates"].plot([0, 0.32], [0, 0.32], color="0.5", linestyle="--", label="as asked for")
axes["rates"].set(xlabel="false discovery rate asked for", ylabel="share of false alarms", title="Are rates kept?")
axes["rates"].legend(title="reference", loc="lower right")

least = np.argsort(scores["held-out images"])[:20].reshape(4, 5)
cells = held_out[least].reshape(4, 5, 8, 8)
framed = np.pad(cells, [(0, 0), (0, 0), (1, 1), (1, 1)], constant_values=0.3)
axes["least"].imshow(framed.swapaxes(1, 2).reshape(40, 50), cmap="gray_r")
axes["least"].set_axis_off()
axes["least"].set_title("Held-out images with the lowest p-values")
plt.show()
