"""
===============================================
Handwritten digits: features, densities, dreams
===============================================

A Helmholtz machine is a feature extractor, a density and a generator. This example uses it for all three on the
handwritten digits of scikit-learn, and compares it with other methods. It takes about a minute on two cores.
"""

# %%
# The digits
# ----------
#
# Each of the 1797 images has 8 x 8 pixels with values from 0, paper, to 16, ink. Divided by 16 they are in [0, 1], and
# ``visible="auto"`` interprets them as probabilities of ink. Training on data in single precision is done in single
# precision, which is faster.
#
# Matrices this small are faster with one thread. ``n_jobs=2`` uses the second core.

import numpy as np
from sklearn.datasets import load_digits
from threadpoolctl import threadpool_limits

threadpool_limits(1)
digits = load_digits()
X, y = (digits.data / 16).astype(np.float32), digits.target

# %%
# Features
# --------
#
# ``transform`` returns a number for each hidden unit: how strongly the recognition network activates it, given the
# image. We compare the accuracy of a linear classifier on these features with its accuracy on raw pixels, principal
# components and the hidden units of a restricted Boltzmann machine. All extractors return 100 features, except that 64
# pixels have at most 64 principal components.
#
# The pixels are grey levels, for which the default machine is made for features: pixels are independent given the
# hidden units, which then have to explain all that pixels have in common. The features need no scaler. Those of the
# Boltzmann machine do: many of its units are nearly constant, and the penalty of the classifier would suppress them.
# The strength ``C`` of the classifier is chosen inside each training fold, from the same values for all features.
# Neither the classifier nor the features are fitted to the test fold.

from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_validate
from sklearn.neural_network import BernoulliRBM
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skwakesleep import HelmholtzMachine

n_components = 100
n_principal = min(n_components, X.shape[1])
extractors = {
    "raw pixels": "passthrough",
    f"PCA ({n_principal} components)": PCA(n_principal),
    "BernoulliRBM": make_pipeline(
        BernoulliRBM(n_components, learning_rate=0.06, n_iter=50, random_state=0), StandardScaler()
    ),
    "HelmholtzMachine": HelmholtzMachine(n_components, random_state=0),
}
classifier = GridSearchCV(LogisticRegression(max_iter=2000), {"C": [0.01, 0.1, 1, 10, 100]}, cv=3)
folds = StratifiedKFold(5, shuffle=True, random_state=0)

print("Features for a linear classifier, 5-fold cross-validation")
print(f"  {'':26}{'accuracy':^16}{'fit time':>10}")
for name, extractor in extractors.items():
    result = cross_validate(make_pipeline(extractor, classifier), X, y, cv=folds, n_jobs=2)
    accuracy, seconds = result["test_score"], result["fit_time"].mean()
    print(f"  {name:26}{accuracy.mean():.3f} +- {accuracy.std():.3f}{seconds:8.1f} s")

# %%
# Digits this small are almost linearly separable, so that no extractor improves much on the raw pixels. The principal
# components are a rotation of the pixels. The binary hidden units of the two machines lose little or no information.
# (The times include the choice of the classifier.)
#
# Hyper-parameters
# ----------------
#
# A machine can be chosen without labels. Its ``score`` is the mean log-likelihood per row in nats, so that
# ``GridSearchCV`` without ``scoring`` finds the machine that gives held-out images the highest probability.
#
# From here on, pixels are binary: only for binary pixels is the score the log-likelihood of a distribution over images.
# A quarter of the images is held out to compare densities below.

from sklearn.model_selection import KFold, train_test_split

train, test = train_test_split((X >= 0.5).astype(np.float32), test_size=0.25, random_state=0, stratify=y)
thirds = KFold(3, shuffle=True, random_state=0)

machines = GridSearchCV(
    HelmholtzMachine(random_state=0),
    {"hidden_layer_sizes": [(64,), (64, 16)], "autoregressive": [None, "prior", ("prior", "visible")]},
    cv=thirds,
    n_jobs=2,
).fit(train)
machine = machines.best_estimator_

print("\nHelmholtz machines, held-out log-likelihood")
print(f"  {'hidden layers':16}{'autoregressive':>18}{'nats per image':>17}")
for candidate, score in zip(machines.cv_results_["params"], machines.cv_results_["mean_test_score"], strict=True):
    sizes = "-".join(map(str, candidate["hidden_layer_sizes"]))
    chosen = "  <- chosen" if candidate == machines.best_params_ else ""
    layers = candidate["autoregressive"] or "none"
    layers = layers if isinstance(layers, str) else ", ".join(layers)
    print(f"  {sizes:16}{layers:>18}{score:17.2f}{chosen}")

# %%
# Without an autoregressive prior, the units of the top hidden layer are independent in dreams, but the strokes of a
# digit are not. Their dependence can be learned by a further layer, or better by connections between the units: the
# autoregressive prior. Connections between pixels, from each pixel to those after it, leave less to the hidden units.
# Both kinds of connections are the default. Training ends by itself when the lower bound no longer rises.

# %%
# Density
# -------
#
# The machine is compared with simple densities that have exact likelihoods: independent pixels; a tree, in which each
# pixel depends on one other pixel; and a mixture, in which each image has *one* cause, while the machine combines
# several. The number of components of the mixture is chosen by a grid search over the same folds.

from skwakesleep.reference import BernoulliMixture, ChowLiuTree, IndependentBernoulli, compare_densities

mixtures = GridSearchCV(BernoulliMixture(random_state=0), {"n_components": [10, 20, 40, 80]}, cv=thirds, n_jobs=2).fit(
    train
)

# %%
# A density should also detect outliers. ``score_samples`` ranks the test images against three distortions of them: ink
# and paper exchanged, the pixels of each image in random order, and the image upside down. The area under the ROC curve
# is the probability that a test image scores higher than a distorted image. The last distortion is the most difficult:
# upside down, a 0, a 1 or an 8 hardly changes, and a 6 becomes a 9.
#
# The likelihood of the machine is a sum over all states of its hidden units, which are too many to enumerate. It is
# estimated with importance samples from the recognition network. The expectation of the estimated log-likelihood is a
# *lower bound* of the log-likelihood, and more samples make it tighter.

from sklearn.metrics import roc_auc_score

machine.set_params(n_score_particles=1000)
densities = {
    "independent pixels": IndependentBernoulli().fit(train),
    "tree": ChowLiuTree().fit(train),
    f"mixture ({mixtures.best_params_['n_components']} components)": mixtures.best_estimator_,
    "HelmholtzMachine": machine,
}
distorted = {
    "inverted": 1 - test,
    "shuffled": np.random.default_rng(0).permuted(test, axis=1),
    "upside down": test[:, ::-1],
}

print("\nDensities: log-likelihood of the test images, and ROC AUC against distorted ones")
print(f"  {'':26}{'nats per image':^16}" + "".join(f"{name:>13}" for name in distorted))
is_intact = np.repeat([1, 0], len(test))
test_scores = {}
for name, density in densities.items():
    test_scores[name] = intact = density.score_samples(test)
    areas = [roc_auc_score(is_intact, np.r_[intact, density.score_samples(images)]) for images in distorted.values()]
    error = intact.std(ddof=1) / np.sqrt(len(test))
    print(f"  {name:26}{intact.mean():.2f} +- {error:.2f}" + "".join(f"{area:13.3f}" for area in areas))

# %%
# Scores vary much more between images than between densities. The densities are therefore compared image by image.

comparison = compare_densities(densities, test, reference="HelmholtzMachine")
print("\nDifference to the machine, nats per image")
for name, difference, error in zip(
    *(comparison[column] for column in ("density", "difference", "difference_error")), strict=True
):
    print(f"  {name:26}{difference:+6.2f} +- {error:.2f}")

# %%
# Dreams
# ------
#
# A *generative weight* is added to the log-odds of ink in a pixel if the hidden unit is on: red for ink, blue for
# paper. Samples are drawn from the top layer down to the pixels, like dreams in training.
#
# The learning curve is the lower bound on the training images. It has fewer importance samples than a score and is less
# tight, but needs no extra time. Held-out images score lower than training images: the dashed lines are the scores from
# the grid searches.

import matplotlib.pyplot as plt

from skwakesleep.plotting import ComponentsDisplay, SamplesDisplay, TrainingDisplay

panels = [["data", "samples"], ["weights", "learning"]]
figure, axes = plt.subplot_mosaic(panels, figsize=(10, 9), layout="constrained")
SamplesDisplay.from_estimator(machine, test, n_images=64, axes=[axes["data"], axes["samples"]])
ComponentsDisplay.from_estimator(machine, ax=axes["weights"])
TrainingDisplay.from_estimator(machine, ax=axes["learning"])
axes["learning"].axhline(machines.best_score_, color="C0", linestyle="--", label="machine, cross-validated")
axes["learning"].axhline(mixtures.best_score_, color="gray", linestyle="--", label="mixture, cross-validated")
axes["learning"].legend()
figure.savefig("plot_digits.png", dpi=150)
print("\nThe figure is in plot_digits.png.")
