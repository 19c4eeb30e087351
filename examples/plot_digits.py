"""
==============================================
Handwritten digits: features, densities, dreams
==============================================

A Helmholtz machine is three things at once: a feature extractor, a density and a generator. This example puts each to
work on the handwritten digits that come with scikit-learn, beside the tools one would otherwise reach for. It takes
about a minute on two cores.
"""

# %%
# The digits
# ----------
#
# Each of the 1797 images has 8 x 8 pixels of 17 gray levels. Divided by 16 they lie in [0, 1], so that the machine's
# ``visible="auto"`` takes a gray level for the probability of ink. In single precision the machine trains in single
# precision, which is faster.

import numpy as np
from sklearn.datasets import load_digits

digits = load_digits()
X, y = (digits.data / digits.data.max()).astype(np.float32), digits.target

# %%
# Features
# --------
#
# ``transform`` returns the *recognition means*: the probability, according to the recognition network, that each hidden
# unit took part in causing an image. How much do they tell a linear classifier about the digit, next to the raw
# pixels, to principal components and to a restricted Boltzmann machine? All extract 100 features, except that 64 pixels
# have no more than 64 principal components. The classifier's strength ``C`` is chosen inside each training fold, over
# the same values for all, and neither the features nor ``C`` ever see the fold that is scored.
#
# Both machines pass 50 times over the data: ``tol=None`` asks for exactly ``max_iter`` epochs.

from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_validate
from sklearn.neural_network import BernoulliRBM
from sklearn.pipeline import make_pipeline

from skwakesleep import HelmholtzMachine

n_components = 100
n_principal = min(n_components, X.shape[1])
extractors = {
    "raw pixels": "passthrough",
    f"PCA ({n_principal} components)": PCA(n_principal),
    "BernoulliRBM": BernoulliRBM(n_components, learning_rate=0.06, n_iter=50, random_state=0),
    "HelmholtzMachine": HelmholtzMachine(n_components, max_iter=50, tol=None, random_state=0),
}
classifier = GridSearchCV(LogisticRegression(max_iter=2000), {"C": np.logspace(-1, 3, 5)}, cv=3)
folds = StratifiedKFold(5, shuffle=True, random_state=0)

print("Features for a linear classifier, 5-fold cross-validation")
print(f"  {'':24}{'accuracy':^17}{'fit time':>10}")
for name, extractor in extractors.items():
    result = cross_validate(make_pipeline(extractor, classifier), X, y, cv=folds, n_jobs=2)
    accuracy, seconds = result["test_score"], result["fit_time"].mean()
    print(f"  {name:24}{accuracy.mean():.3f} +- {accuracy.std():.3f}{seconds:10.1f} s")

# %%
# Scikit-learn's digits are so small that the raw pixels are hard to beat: they leave little for a feature extractor to
# find. Of the two machines that have to squeeze an image through binary causes, compare the accuracies against the
# spread over the folds.
#
# Hyper-parameters
# ----------------
#
# Labels are not needed to choose a machine. Its ``score`` is the mean log-likelihood per row in nats, so a plain
# ``GridSearchCV``, without ``scoring``, finds the machine that gives held-out images the highest probability. From here
# on a pixel is either ink or paper, since only then is the log-likelihood that of a distribution over images. A
# quarter of the images is set aside for the comparison of densities below.

from sklearn.model_selection import KFold, train_test_split

train, test = train_test_split((X >= 0.5).astype(np.float32), test_size=0.25, random_state=0, stratify=y)
thirds = KFold(3, shuffle=True, random_state=0)

machines = GridSearchCV(
    HelmholtzMachine(max_iter=100, tol=None, random_state=0),
    {"hidden_layer_sizes": [(64,), (64, 16), (64, 16, 8)], "learning_rate_init": [0.01, 0.03]},
    cv=thirds,
    refit=False,
    n_jobs=2,
).fit(train)

print("\nHelmholtz machines, held-out log-likelihood after 100 epochs")
print(f"  {'hidden layers':24}{'learning rate':>13}{'nats per image':>18}")
for candidate, score in zip(machines.cv_results_["params"], machines.cv_results_["mean_test_score"], strict=True):
    sizes = "-".join(map(str, candidate["hidden_layer_sizes"]))
    chosen = "  <- chosen" if candidate == machines.best_params_ else ""
    print(f"  {sizes:24}{candidate['learning_rate_init']:13}{score:18.2f}{chosen}")

# %%
# The units of a single hidden layer are independent causes. A second layer learns which of them occur together, and
# digits have a lot of that.
#
# The chosen machine now trains for as long as it keeps getting better. ``early_stopping`` holds out a tenth of the
# training images, stops by their log-likelihood, and returns to the parameters that scored best.

machine = HelmholtzMachine(
    **machines.best_params_, max_iter=500, early_stopping=True, n_iter_no_change=20, random_state=0
).fit(train)

# %%
# Density
# -------
#
# The usual yardstick for binary columns is a mixture of Bernoulli distributions: every image has *one* cause, where
# the machine combines many. Scikit-learn has none, but expectation-maximization takes a few lines, and as an estimator
# with a ``score`` the mixture is grid-searched like the machine. With one component, it is the model of independent
# pixels.

from scipy.special import logsumexp
from sklearn.base import BaseEstimator, DensityMixin


class BernoulliMixture(DensityMixin, BaseEstimator):
    """Mixture of independent Bernoulli columns, fitted by expectation-maximization."""

    def __init__(self, n_components=1, *, pseudo_count=0.2, max_iter=100, random_state=None):
        self.n_components = n_components
        self.pseudo_count = pseudo_count
        self.max_iter = max_iter
        self.random_state = random_state

    def fit(self, X, y=None):
        rng = np.random.default_rng(self.random_state)
        responsibilities = rng.dirichlet(np.ones(self.n_components), size=len(X))
        for _ in range(self.max_iter):
            counts = responsibilities.sum(axis=0)
            self.weights_ = counts / len(X)
            ink = responsibilities.T @ X + self.pseudo_count
            self.means_ = ink / (counts[:, np.newaxis] + 2 * self.pseudo_count)
            log_joint = self._log_joint(X)
            responsibilities = np.exp(log_joint - logsumexp(log_joint, axis=1, keepdims=True))
        return self

    def score_samples(self, X):
        return logsumexp(self._log_joint(X), axis=1)

    def score(self, X, y=None):
        return self.score_samples(X).mean()

    def _log_joint(self, X):
        with np.errstate(divide="ignore"):  # a component may die out
            return np.log(self.weights_) + X @ np.log(self.means_).T + (1 - X) @ np.log1p(-self.means_).T


mixtures = GridSearchCV(BernoulliMixture(random_state=0), {"n_components": [10, 20, 40, 80, 160]}, cv=thirds).fit(train)

# %%
# A density should also notice what it has not been trained on. ``score_samples`` ranks the test images against three
# distortions of them: paper for ink, the pixels of each image in a random order, and upside down. The area under the
# ROC curve is the probability that a digit scores higher than a distorted one. The last distortion is the honest one:
# some digits look much the same upside down.
#
# The sum over all the hidden states of the machine is out of reach, so its log-likelihood is estimated by importance
# sampling from the recognition network: in expectation, a lower bound. More particles tighten it.

from sklearn.metrics import roc_auc_score

machine.set_params(n_score_particles=1000)
densities = {
    "independent pixels": BernoulliMixture().fit(train),
    f"mixture ({mixtures.best_params_['n_components']} components)": mixtures.best_estimator_,
    "HelmholtzMachine": machine,
}
distorted = {
    "inverted": 1 - test,
    "shuffled": np.random.default_rng(0).permuted(test, axis=1),
    "upside down": test[:, ::-1],
}

print("\nDensity of the test images, and ROC AUC against distorted ones")
print(f"  {'':24}{'nats per image':^17}" + "".join(f"{name:>13}" for name in distorted))
for name, density in densities.items():
    inside = density.score_samples(test)
    error = inside.std() / np.sqrt(len(test))
    is_digit = np.repeat([1, 0], len(test))
    areas = (roc_auc_score(is_digit, np.r_[inside, density.score_samples(images)]) for images in distorted.values())
    print(f"  {name:24}{inside.mean():.2f} +- {error:.2f}  " + "".join(f"{area:13.3f}" for area in areas))

# %%
# Dreams
# ------
#
# Finally, a look inside. A *generative weight* says how much a hidden unit, once on, raises or lowers the log-odds of
# ink in a pixel: the units of the first layer are strokes and parts of strokes. Samples are drawn from the top down,
# as the machine does when it dreams. The learning curve shows the lower bound on the training images (``lower_bounds_``,
# with the few particles of training, so it is looser) and the log-likelihood of those held out (``validation_scores_``).

import matplotlib.pyplot as plt


def mosaic(images, n_columns=8):
    """Lay 8 x 8 images out in rows, one pixel apart."""
    tiles = np.pad(images.reshape(-1, n_columns, 8, 8), ((0, 0), (0, 0), (0, 1), (0, 1)), constant_values=np.nan)
    n_rows = len(tiles)
    return tiles.transpose(0, 2, 1, 3).reshape(9 * n_rows, 9 * n_columns)[:-1, :-1]


def show_images(axes, images, title, **options):
    axes.set_title(title)
    axes.set_axis_off()
    return axes.imshow(mosaic(images), **options)


def show_learning(axes, machine):
    epochs = np.arange(1, machine.n_iter_ + 1)
    best = int(np.argmax(machine.validation_scores_))
    axes.plot(epochs, machine.lower_bounds_, color="tab:blue", label="lower bound, training images")
    axes.plot(epochs, machine.validation_scores_, color="tab:orange", label="log-likelihood, held-out images")
    axes.plot(epochs[best], machine.validation_scores_[best], "o", color="tab:orange", label="parameters kept")
    axes.axhline(mixtures.best_score_, color="gray", linestyle="--", label="mixture, cross-validated")
    axes.set(title="Learning curve", xlabel="epoch", ylabel="nats per image", xlim=(0, epochs[-1]))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", frameon=False)


fig, axes = plt.subplot_mosaic(
    [["weights", "data", "samples"], ["curve", "curve", "curve"]],
    figsize=(10, 6.6),
    height_ratios=[1, 0.7],
    layout="constrained",
)
largest = np.quantile(np.abs(machine.components_), 0.99)
strongest_first = np.argsort(-np.linalg.norm(machine.components_, axis=1))
weights = show_images(
    axes["weights"],
    machine.components_[strongest_first],
    "Generative weights, first layer",
    cmap="RdBu_r",
    vmin=-largest,
    vmax=largest,
)
show_images(axes["data"], test[:64], "Test images", cmap="gray_r")
show_images(axes["samples"], machine.sample(64, random_state=0), "Samples", cmap="gray_r")
show_learning(axes["curve"], machine)
fig.savefig("plot_digits.png", dpi=150)
print("\nThe figure is in plot_digits.png")
