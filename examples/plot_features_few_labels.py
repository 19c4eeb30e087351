"""
====================================================
Features from unlabeled data for few labeled samples
====================================================

Often many rows have no labels. A machine learns features from all rows, and a classifier is trained on the features of
the labeled rows. This example uses these features in a pipeline, shows the images that activate hidden units, and
measures the number of labels that the features save. They save many labels if classes differ by causes that no single
column shows, and few if the columns separate the classes already. The example needs pandas for the names of the
features.
"""

# sphinx_gallery_thumbnail_number = 2

# %%
# Horizontal and vertical bars
# ----------------------------
#
# In each image, either some rows or some columns of pixels are bars, and one pixel in five is then inverted. Similar
# images were used in the first paper on wake-sleep [1]_. No single pixel separates the classes: each is ink with the
# same probability in both. Three thousand images have no label.
#
# .. [1] G. E. Hinton, P. Dayan, B. J. Frey, R. M. Neal. "The wake-sleep algorithm for unsupervised neural networks".
#    Science 268 (1995) 1158-1161.

import numpy as np
from threadpoolctl import threadpool_limits

threadpool_limits(1)  # matrices this small are faster with one thread


def draw_bars(n_images, rng, side=12, probability=0.25, noise=0.2):
    """Return images of bars, one image per row, and whether the bars are vertical."""
    is_vertical = rng.random(n_images) < 0.5
    bars = rng.random((n_images, side)) < probability
    horizontal = np.repeat(bars[:, :, np.newaxis], side, axis=2)
    images = np.where(is_vertical[:, np.newaxis, np.newaxis], horizontal.swapaxes(1, 2), horizontal)
    inverted = rng.random(images.shape) < noise
    return (images ^ inverted).reshape(n_images, -1).astype(np.float32), is_vertical


rng = np.random.default_rng(0)
X, y = draw_bars(3000, rng)
X_test, y_test = draw_bars(1000, rng)

# %%
# A frozen extractor in a pipeline
# --------------------------------
#
# The machine is fitted once to all images. With ``autoregressive="prior"``, its hidden units have to explain all that
# pixels have in common. ``FrozenEstimator`` keeps the machine as it is when the pipeline is fitted to the labeled rows.

from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from skwakesleep import HelmholtzMachine

machine = HelmholtzMachine(autoregressive="prior", random_state=0).set_output(transform="pandas").fit(X)
features = FrozenEstimator(machine)
classifier = make_pipeline(features, LogisticRegression(max_iter=1000)).fit(X[:300], y[:300])

print("The first features of three images")
print(features.transform(X_test[:3]).iloc[:, :4].round(2).to_string())
print(f"\nwith 300 labels, {classifier.score(X_test, y_test):.1%} of the test images are classified correctly")

# %%
# Interpreting hidden units
# -------------------------
#
# The names of the features are the name of the machine with the number of the unit. The classifier stores these names,
# so that we can look up the units with the largest coefficients. For these units, the figure shows two images. The
# *generative weights* are the effect of a unit on the pixels. The covariance of the feature with each pixel shows the
# images that activate the unit.

import matplotlib.pyplot as plt
import pandas as pd

from skwakesleep.plotting import ComponentsDisplay

logistic = classifier[-1]
coefficients = pd.Series(logistic.coef_[0], index=logistic.feature_names_in_).sort_values()
largest = pd.concat([coefficients.iloc[:5], coefficients.iloc[-5:]])
units = [int(name.removeprefix("helmholtzmachine")) for name in largest.index]

responses = machine.transform(X).to_numpy()
covariances = (responses - responses.mean(axis=0)).T @ X / len(X)

figure, axes = plt.subplots(2, len(units), figsize=(11, 3.3), layout="constrained")
for column, (unit, weight) in enumerate(zip(units, largest, strict=True)):
    for ax, image in zip(axes[:, column], (machine.components_[unit], covariances[unit]), strict=True):
        limit = np.abs(image).max()
        ax.imshow(image.reshape(12, 12), cmap="RdBu_r", vmin=-limit, vmax=limit)
        ax.set(xticks=[], yticks=[])
    axes[0, column].set_title(f"unit {unit}\n{weight:+.2f}", fontsize="medium")
axes[0, 0].set_ylabel("weights")
axes[1, 0].set_ylabel("covariance")
figure.suptitle(
    "Units with the largest coefficients for horizontal (left) and vertical bars (right), and their coefficients"
)

ComponentsDisplay.from_estimator(machine, max_components=36)

# %%
# Accuracy and number of labels
# -----------------------------
#
# All classifiers are trained on the same ten random choices of labeled images. Logistic regression is linear. On pixels
# it is no better than chance with any number of labels. The same holds for principal components, which are a rotation
# of the pixels. With hidden units it succeeds. A support vector machine with a radial kernel is not linear and succeeds
# on pixels with enough labels. It also improves with hidden units.

from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import LabelSpreading
from sklearn.svm import SVC


def accuracies(classifier, n_labels, X, y, X_test, y_test, n_choices=10):
    """Return the test accuracies after fits to some random choices of labeled rows."""
    scores = []
    for seed in range(n_choices):
        labeled = np.random.default_rng(seed).permutation(len(X))[:n_labels]
        if isinstance(classifier, LabelSpreading):
            known = np.full(len(X), -1)
            known[labeled] = y[labeled]
            fitted = clone(classifier).fit(X, known)
        else:
            fitted = clone(classifier).fit(X[labeled], y[labeled])
        scores.append(fitted.score(X_test, y_test))
    return np.array(scores)


def learning_curves(classifiers, sizes, *data):
    """Print a table of mean accuracies, and return means and standard errors for each classifier."""
    print("  " + f"{'labels':32}" + "".join(f"{n:>8}" for n in sizes))
    curves = {}
    for name, classifier in classifiers.items():
        scores = np.array([accuracies(classifier, n, *data) for n in sizes])
        curves[name] = scores.mean(axis=1), scores.std(axis=1, ddof=1) / np.sqrt(scores.shape[1])
        print(f"  {name:32}" + "".join(f"{mean:8.3f}" for mean in curves[name][0]), flush=True)
    return curves


linear = LogisticRegression(max_iter=1000)
bars_classifiers = {
    "hidden units, linear": make_pipeline(features, linear),
    "principal components, linear": make_pipeline(FrozenEstimator(PCA(32).fit(X)), linear),
    "pixels, linear": linear,
    "pixels, radial kernel": make_pipeline(StandardScaler(), SVC()),
    "hidden units, radial kernel": make_pipeline(features, SVC()),
}
bars_sizes = [20, 50, 100, 200, 500, 1000]
print("\nBars: test accuracy, mean over ten choices of labeled images")
bars_curves = learning_curves(bars_classifiers, bars_sizes, X, y, X_test, y_test)

# %%
# Data with a small gain
# ----------------------
#
# The digits of scikit-learn are almost linearly separable. Here, the same pipeline gains one or two percent, with few
# labels or many. Label spreading is better, because digits of one class are close to each other.
# ``LabelSpreading`` is fitted to all training images, with the label -1 for unlabeled images.

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

digits = load_digits()
D, D_test, d, d_test = train_test_split(
    (digits.data / 16).astype(np.float32), digits.target, test_size=0.3, random_state=0, stratify=digits.target
)
features_of_digits = FrozenEstimator(HelmholtzMachine(random_state=0).fit(D))

digits_classifiers = {
    "hidden units, linear": make_pipeline(features_of_digits, linear),
    "pixels, linear": linear,
    "pixels, labels spread": LabelSpreading(gamma=5),
}
digits_sizes = [50, 100, 200, 500, len(D)]
print("\nDigits: test accuracy, mean over ten choices of labeled images")
digits_curves = learning_curves(digits_classifiers, digits_sizes, D, d, D_test, d_test)

# %%
# The learning curves, with standard errors over the choices of labeled images:

figure, axes = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
colors = {name: f"C{i}" for i, name in enumerate(dict.fromkeys([*bars_curves, *digits_curves]))}
panels = [("Horizontal and vertical bars", bars_sizes, bars_curves), ("Digits", digits_sizes, digits_curves)]
for ax, (title, sizes, curves) in zip(axes, panels, strict=True):
    for name, (means, errors) in curves.items():
        ax.errorbar(sizes, means, yerr=errors, fmt="o-", capsize=3, color=colors[name], label=name)
    ax.set(xscale="log", xlabel="labels", ylabel="test accuracy", title=title, xticks=sizes, xticklabels=sizes)
    ax.minorticks_off()
legend = {name: handle for ax in axes for handle, name in zip(*ax.get_legend_handles_labels(), strict=True)}
figure.legend(legend.values(), legend.keys(), loc="outside lower center", ncols=3)
plt.show()
