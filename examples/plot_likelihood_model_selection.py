"""
=============================
Model selection by likelihood
=============================

The number of hidden units, the number of layers and the learning rate can be chosen without labels, by the likelihood
of held-out rows. This example chooses a machine with a search of scikit-learn, computes the standard error of the
*difference* between candidates, which is much smaller than that of either score, and compares the chosen machine with
simpler and more complex densities.
"""

# %%
# Training and test data
# ----------------------
#
# The pixels of scikit-learn's digits are binarized. One part of the images is for training and model selection, the
# other for the comparison of the chosen machines. On the rows used for selection, the scores of the chosen machines
# would be slightly too high.

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import KFold, train_test_split
from threadpoolctl import threadpool_limits

from skwakesleep import HelmholtzMachine

threadpool_limits(1)  # n_jobs=2 uses the second core
digits = load_digits()
X = (digits.data >= 8).astype(np.float32)
train, test = train_test_split(X, test_size=0.3, random_state=0, stratify=digits.target)

# %%
# Successive halving
# ------------------
#
# ``score`` is the mean log-likelihood in nats per row, so that the searches need no ``scoring``. A grid search trains
# all candidates for all epochs. ``HalvingGridSearchCV`` trains all candidates for a few epochs, the best third of them
# for three times as many, and so on [1]_. Its resource is ``max_iter``. With ``tol=None``, each machine is trained for
# all its epochs. Halving drops candidates that start slowly, such as wide machines. Below we test whether it dropped a
# better one.
#
# .. [1] K. Jamieson, A. Talwalkar. "Non-stochastic best arm identification and hyperparameter optimization". AISTATS
#    2016.

from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import HalvingGridSearchCV

folds = KFold(3, shuffle=True, random_state=0)
search = HalvingGridSearchCV(
    HelmholtzMachine(tol=None, n_score_particles=64, random_state=0),
    {
        "hidden_layer_sizes": [(20,), (50,), (100,), (50, 20)],
        "learning_rate_init": [0.2, 0.4, 0.8],
    },
    resource="max_iter",
    min_resources=10,
    max_resources=90,
    cv=folds,
    n_jobs=2,
).fit(train)


def description(candidate):
    sizes = "-".join(map(str, candidate["hidden_layer_sizes"]))
    return f"{sizes}, rate {candidate['learning_rate_init']}"


print("Held-out log-likelihood, nats per image, by number of epochs")
results = search.cv_results_
scores_by_candidate = {}
for candidate, n_epochs, score in zip(
    results["params"], results["n_resources"], results["mean_test_score"], strict=True
):
    scores_by_candidate.setdefault(description(candidate), {})[int(n_epochs)] = score
epochs = sorted({n for scores in scores_by_candidate.values() for n in scores})
print(f"  {'':20}" + "".join(f"{n:>9}" for n in epochs))
for name, scores in sorted(scores_by_candidate.items(), key=lambda item: (-len(item[1]), -item[1][epochs[0]])):
    print(f"  {name:20}" + "".join(f"{scores[n]:9.2f}" if n in scores else f"{'-':>9}" for n in epochs))
print(f"chosen: {description(search.best_params_)}")

# %%
# Paired differences
# ------------------
#
# The scores of single images differ by many nats, so that the standard error of a mean score is large. But an image
# with a low score under one candidate mostly has a low score under all. The standard error of the mean *difference* is
# therefore much smaller. ``compare_densities`` returns both errors. Also, all machines of a search share the random
# numbers of their likelihood estimates. Compare candidates by their difference.
#
# The following machines each differ from the chosen one in one parameter. By default, pixels are connected with each
# other, and so are the units of the top hidden layer. The machines are compared on the test images.

from sklearn.base import clone

from skwakesleep.reference import compare_densities

chosen = clone(search.best_estimator_).set_params(max_iter=epochs[-1], n_score_particles=200)
variants = {
    "chosen": {},
    "another seed": {"random_state": 1},
    "twice as wide": {"hidden_layer_sizes": tuple(2 * n for n in chosen.hidden_layer_sizes)},
    "half as wide": {"hidden_layer_sizes": tuple(n // 2 for n in chosen.hidden_layer_sizes)},
    "a layer of 20 above": {"hidden_layer_sizes": (*chosen.hidden_layer_sizes, 20)},
    "pixels not connected": {"autoregressive": "prior"},
    "nothing connected": {"autoregressive": None},
    "half the epochs": {"max_iter": chosen.max_iter // 2},
}
machines = {name: clone(chosen).set_params(**changes).fit(train) for name, changes in variants.items()}
comparison = compare_densities(machines, test, reference="chosen")

print(f"\n{len(test)} test images, nats per image")
print(f"  {'':20}{'score':^18}{'difference to the chosen':^28}")
for name, score, score_error, difference, error in zip(*comparison.values(), strict=True):
    print(f"  {name:20}{score:9.2f} +- {score_error:.2f}{difference:+16.2f} +- {error:.2f}")

# %%
# The errors on the right are much smaller than those on the left. Differences above two standard errors are expected on
# other images, too. But these are errors over images, not over fits. The machine with another seed shows the variation
# between fits with the same parameters. Smaller differences have no meaning. If *twice as wide* is better by more than
# this variation, halving dropped a better candidate.
#
# Another error is that of the likelihood itself, which is estimated from a number of importance samples for each row.
# The estimate is a lower bound in expectation. ``certify`` measures its distance on dreams, which also have an upper
# bound.

print(f"\n{machines['chosen'].certify(200, random_state=0)}")

# %%
# Other densities
# ---------------
#
# To judge the size of a difference, compare with other densities: independent pixels; a tree, in which each pixel
# depends on one other pixel; mixtures, in which each image has one of 10 or 40 causes; and machines, whose causes
# combine.

import matplotlib.pyplot as plt

from skwakesleep.plotting import ComparisonDisplay
from skwakesleep.reference import BernoulliMixture, ChowLiuTree, IndependentBernoulli

densities = {
    "independent pixels": IndependentBernoulli().fit(train),
    "tree": ChowLiuTree().fit(train),
    **{f"mixture of {n}": BernoulliMixture(n, random_state=0).fit(train) for n in (10, 40)},
    **{f"machine, {name}": machines[name] for name in ("chosen", "twice as wide", "nothing connected")},
}

figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.8), layout="constrained")
for name, scores in scores_by_candidate.items():
    kept = len(scores) == len(epochs)
    left.plot(list(scores), list(scores.values()), "o-", color=None if kept else "0.7", label=name if kept else None)
left.plot([], [], "o-", color="0.7", label="dropped")
left.set(xscale="log", xticks=epochs, xticklabels=epochs, xlabel="epochs", ylabel="log-likelihood (nats per image)")
left.minorticks_off()
left.set_title("Halving: held-out images of three folds")
left.legend(loc="lower right")
ComparisonDisplay.from_estimators(densities, test, ax=right)
plt.show()
