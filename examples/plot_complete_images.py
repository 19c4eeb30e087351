"""
=======================================
Completing images from their upper half
=======================================

A Helmholtz machine is a distribution over all columns of a row. It can therefore predict any columns from any others.
This example hides the lower half of handwritten digits and asks for it back.
"""

# %%
# The digits
# ----------
#
# The images of scikit-learn have 8 x 8 pixels, here binary: ink or paper. A quarter of them is not trained on.
# Hidden pixels are missing values, that is, NaN.

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

X, y = load_digits(return_X_y=True)
X = (X >= 8).astype(float)
train, test, _, digit = train_test_split(X, y, test_size=0.25, random_state=0, stratify=y)

upper = test.copy()
upper[:, 32:] = np.nan

# %%
# Completions
# -----------
#
# The machine is fitted to complete images, and knows nothing of the task. ``impute_draws`` draws the missing pixels
# from their distribution given the others.

from skwakesleep import HelmholtzMachine

machine = HelmholtzMachine(random_state=0).fit(train)

first = [np.flatnonzero(digit == label)[0] for label in range(10)]
completions = machine.impute_draws(upper[first], n_draws=4, random_state=0)

# %%
# The first row shows the images, the second what the machine is given. In the other rows are four completions, drawn
# independently. They are nearly equal where the upper half tells what follows. Where it does not, they are different
# digits: what begins like a 5 can end as a 6.

import matplotlib.pyplot as plt

rows = {"image": test[first], "given": upper[first], **{f"completion {i + 1}": c for i, c in enumerate(completions)}}
figure, axes = plt.subplots(len(rows), 1, figsize=(7, 4.6), layout="constrained")
colors = plt.get_cmap("gray_r").with_extremes(bad="lightsteelblue")
for ax, (name, images) in zip(axes, rows.items(), strict=True):
    strip = np.pad(images.reshape(-1, 8, 8), [(0, 0), (0, 0), (1, 1)]).transpose(1, 0, 2).reshape(8, -1)
    ax.imshow(strip, cmap=colors)
    ax.set_ylabel(name, rotation=0, ha="right", va="center")
    ax.set(xticks=[], yticks=[], frame_on=False)
figure.savefig("plot_complete_images.png", dpi=150)

# %%
# How good are they?
# ------------------
#
# ``impute`` returns the expected value of each missing pixel, here the probability of ink. We compare it with three
# imputers of scikit-learn, on all test images, by the mean squared error of the hidden pixels. Without knowledge of
# the image, the best prediction is the mean of the pixel.

from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

hidden = np.isnan(upper)
imputers = {
    "mean": SimpleImputer().fit(train),
    "IterativeImputer": IterativeImputer(max_iter=3, n_nearest_features=20, random_state=0).fit(train),
    "KNNImputer": KNNImputer(n_neighbors=10).fit(train),
}
predictions = {name: imputer.transform(upper) for name, imputer in imputers.items()}
predictions["HelmholtzMachine"] = machine.impute(upper)

print("Mean squared error of the hidden pixels")
for name, filled in predictions.items():
    print(f"  {name:18}{np.square(filled[hidden] - test[hidden]).mean():.3f}")

# %%
# Nearest neighbors predict the pixels best, since there is a similar image for most test images. But the mean of ten
# neighbors is a blur and not a digit. The machine also draws completions, and gives each of them a probability: the
# log-likelihood of the whole image minus that of its upper half. A mixture of 32 components is a density too.

from skwakesleep.reference import IndependentColumns, LatentClasses

densities = {
    "independent pixels": IndependentColumns().fit(train),
    "mixture": LatentClasses(32, random_state=0).fit(train),
    "HelmholtzMachine": machine,
}
print("Log-likelihood of the lower half given the upper, in nats per image")
for name, density in densities.items():
    print(f"  {name:20}{density.score(test) - density.score(upper):.2f}")
