"""
===========================================
Anomaly detection with p-values from dreams
===========================================

Anomalies have low log-likelihoods. To decide whether a score is low, compare it with the scores of dreams of the
machine: the fraction of dreams that score no higher than a row is a p-value.
:class:`~skwakesleep.DensityOutlierDetector` computes these p-values. This example compares the detector with
:class:`~sklearn.ensemble.IsolationForest` on digits, tests whether the p-values are uniform, controls the false
discovery rate with them, and compares them with p-values from held-out data.
"""

# %%
# Digits and anomalies
# --------------------
#
# Pixels are binary: ink or paper. A thousand images are for training, the others are held out. Anomalies are modified
# held-out images: with four pixels inverted, with the lower half of another image, and upside down. Some upside-down
# digits are still digits.

import numpy as np
from scipy.stats import false_discovery_control, kstest
from sklearn.datasets import load_digits
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from threadpoolctl import threadpool_limits

from skwakesleep import DensityOutlierDetector, HelmholtzMachine

threadpool_limits(1)  # matrices this small are faster with one thread
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

# %%
# Find the anomalies
# ------------------
#
# Both detectors are fitted to the training images. The area under the ROC curve is the probability that an anomaly
# ranks before a held-out image. "Found" is the fraction of anomalies that ``predict`` calls outliers at the default
# threshold of the detector, a p-value of 0.05. For the forest, the threshold is the quantile 0.05 of the training
# scores. An inverted pixel is a value that other images have as well. It is unusual only beside its neighbors, which a
# forest of random splits hardly sees.

detector = DensityOutlierDetector(HelmholtzMachine(), n_dreams=5000, random_state=0).fit(train)
forest = IsolationForest(contamination=0.05, random_state=0).fit(train)

print(f"{'':28}area under the ROC curve         found")
print(f"{'':28}{'detector':>12}{'forest':>12}{'detector':>12}{'forest':>12}")
is_strange = np.repeat([False, True], len(held_out))
for name, images in anomalies.items():
    both = np.vstack([held_out, images])
    areas = [roc_auc_score(is_strange, -each.score_samples(both)) for each in (detector, forest)]
    found = [(each.predict(images) == -1).mean() for each in (detector, forest)]
    print(f"  {name:26}" + "".join(f"{value:12.3f}" for value in areas + found))
false_alarms = [(each.predict(held_out) == -1).mean() for each in (detector, forest)]
print(f"  {'false alarms':50}" + "".join(f"{value:12.3f}" for value in false_alarms))

# %%
# P-values from dreams
# --------------------
#
# If the data had the distribution of the machine, a row would be one more dream. Its rank among the dreams would be
# uniform, and the p-value exact. This holds for any score, so that the Monte-Carlo error of `score_samples` does not
# matter: dreams and data are scored by the same function. ``detector.p_values`` does this. Here, a function is needed
# that takes any reference.

machine, dreamed = detector.density_, detector.reference_scores_


def p_values(scores, reference):
    """Return the fraction of the reference that scores no higher, counting the row itself."""
    return (1 + np.searchsorted(np.sort(reference), scores, side="right")) / (1 + len(reference))


assert np.array_equal(detector.p_values(held_out), p_values(machine.score_samples(held_out), dreamed))
scores = {
    "fresh dreams": machine.score_samples(machine.sample(1000, random_state=1)),
    "training images": machine.score_samples(train),
    "held-out images": machine.score_samples(held_out),
    **{name: machine.score_samples(images) for name, images in anomalies.items()},
}
levels = [0.01, 0.05, 0.1, 0.5]

print("\nFraction of p-values from dreams below or equal to a level")
print(f"  {'':22}" + "".join(f"{level:>8}" for level in levels) + f"{'distance to uniform':>22}")
for name, values in scores.items():
    p = p_values(values, dreamed)
    fractions = "".join(f"{np.mean(p <= level):8.3f}" for level in levels)
    print(f"  {name:22}{fractions}{kstest(p, 'uniform').statistic:22.3f}")

# %%
# Fresh dreams have uniform p-values, which checks the procedure. With a perfect machine, held-out images would have
# uniform p-values, too. The last column, the Kolmogorov-Smirnov distance, would then be at most about 1.4 divided by
# the square root of the number of images, here 0.05, in 95 of 100 cases. For anomalies, the left tail matters. At the
# smallest level, more held-out images are below the level than expected: real digits have rare shapes that the machine
# has not learned from a thousand images. Training images score higher than dreams. Never use them as a reference.
#
# Calibration by held-out data
# ----------------------------
#
# Held-out rows can replace the dreams as a reference. The rank of a row among other held-out rows is uniform for any
# machine, if all rows are from the same distribution. These p-values are called conformal [1]_. They have two
# disadvantages. They need data that could have been used for training, and they have a lower limit: with 400 reference
# rows, no p-value is below 1/401, while the number of dreams is unlimited. With the parameter ``cv`` of the detector,
# each training row is held out once, and none are lost. This takes the time of more fits.
#
# The choice matters when many rows are tested and the *false discovery rate* is controlled, the expected fraction of
# false alarms among the alarms. The procedure of Benjamini and Hochberg [2]_ is in SciPy. It is also valid for
# conformal p-values, which share their reference [1]_. In each of 300 trials, the held-out images are divided at random
# into 400 reference images and 360 test images, and 40 anomalies are added to the test images.
#
# .. [1] S. Bates, E. Candès, L. Lei, Y. Romano, M. Sesia. "Testing for outliers with conformal p-values". Annals of
#    Statistics 51 (2023) 149-178.
# .. [2] Y. Benjamini, Y. Hochberg. "Controlling the false discovery rate: a practical and powerful approach to multiple
#    testing". Journal of the Royal Statistical Society B 57 (1995) 289-300.

all_anomalies = np.concatenate([scores["4 pixels inverted"], scores["halves of two digits"]])
is_anomaly = np.arange(400) < 40
rates = np.array([0.05, 0.1, 0.2, 0.3])


def trial(rng):
    """Return the fractions of false alarms and of anomalies found, for each reference and each nominal rate."""
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
print(f"  {'nominal':34}" + "".join(f"{rate:8.2f}" for rate in rates))
for source, (false_rates, found) in zip(sources, means, strict=True):
    print(f"  {'rate, reference: ' + source:34}" + "".join(f"{rate:8.3f}" for rate in false_rates))
    print(f"  {'anomalies found':34}" + "".join(f"{rate:8.3f}" for rate in found))

# %%
# Two-sided tests
# ---------------
#
# Anomalies can also score too *high*. As an example, each image is reconstructed from the hidden units, and each pixel
# is set to its more probable value. This removes unlikely details. None of these images has a low score, but too many
# of their p-values are high. Choose the tail for your application. Twice the smaller of the fractions in both tails is
# a two-sided p-value.

reconstructed = (machine.inverse_transform(machine.transform(held_out)) >= 0.5).astype(np.float32)
reconstructed_scores = machine.score_samples(reconstructed)
lower, upper = p_values(reconstructed_scores, dreamed), p_values(-reconstructed_scores, -dreamed)
both = np.minimum(1, 2 * np.minimum(lower, upper))
print("\nReconstructed images, fraction of p-values that are at most 0.05")
for name, p in {"lower tail": lower, "upper tail": upper, "both": both}.items():
    print(f"  {name:12}{np.mean(p <= 0.05):.3f}")

# %%
# Figure
# ------
#
# Top: the scores, and the cumulative distribution of the p-values of held-out images. It is on the dashed line if the
# p-values are uniform. Bottom: the observed against the nominal fraction of false alarms, and the held-out images with
# the lowest p-values.

import matplotlib.pyplot as plt

from skwakesleep.plotting import ScoreDisplay

panels = [["scores", "p-values"], ["rates", "lowest"]]
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
axes["p-values"].set(xlabel="p-value", ylabel="fraction of held-out images", title="Calibration of p-values")
axes["p-values"].legend(title="reference", loc="lower right")

for source, (false_rates, _), (error, _) in zip(sources, means, errors, strict=True):
    axes["rates"].errorbar(rates, false_rates, yerr=2 * error, fmt="o-", capsize=3, label=source)
axes["rates"].plot([0, 0.32], [0, 0.32], color="0.5", linestyle="--", label="nominal")
axes["rates"].set(
    xlabel="nominal false discovery rate", ylabel="fraction of false alarms", title="False discovery rate"
)
axes["rates"].legend(title="reference", loc="lower right")

lowest = np.argsort(scores["held-out images"])[:20].reshape(4, 5)
cells = held_out[lowest].reshape(4, 5, 8, 8)
framed = np.pad(cells, [(0, 0), (0, 0), (1, 1), (1, 1)], constant_values=0.3)
axes["lowest"].imshow(framed.swapaxes(1, 2).reshape(40, 50), cmap="gray_r")
axes["lowest"].set_axis_off()
axes["lowest"].set_title("Held-out images with the lowest p-values")
plt.show()
