"""
=============================
Model selection by likelihood
=============================

How many hidden units, how many layers, how large a step? No labels are needed to decide: the better machine gives
held-out rows the higher likelihood. This example lets scikit-learn's searches find a machine by that, puts an error bar
on the *difference* between candidates, which is known much better than either score, and places the winner on a ladder
of simpler and more complex densities.
"""

# %%
# Three parts of the data
# -----------------------
#
# The pixels of scikit-learn's digits are ink or paper here. One part of the images is for training and choosing, one to
# compare the chosen. What was chosen for a good score on some rows scores too well on these rows, if only a little.

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import KFold, train_test_split
from threadpoolctl import threadpool_limits

from skwakesleep import HelmholtzMachine

threadpool_limits(1)  # the second core is put to better use by n_jobs=2
digits = load_digits()
X = (digits.data >= 8).astype(np.float32)
train, test = train_test_split(X, test_size=0.3, random_state=0, stratify=digits.target)

# %%
# A grid, halved
# --------------
#
# ``score`` is the mean log-likelihood in nats per row, so the searches need no ``scoring``. A grid search would train
# all candidates to the end. ``HalvingGridSearchCV`` trains all for a few epochs, the better third of them for three
# times as many, and so on [1]_: the resource it rations is ``max_iter``. ``tol=None`` makes each machine use up its
# ration. The price is that slow starters are given up, and wide machines are slow starters. Whether one of them should
# have been kept will be asked below.
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
    min_resources=5,
    max_resources=45,
    cv=folds,
    n_jobs=2,
).fit(train)


def described(candidate):
    sizes = "-".join(map(str, candidate["hidden_layer_sizes"]))
    return f"{sizes}, rate {candidate['learning_rate_init']}"


print("Held-out log-likelihood, nats per image, after so many epochs")
results = search.cv_results_
ladder = {}
for candidate, n_epochs, score in zip(
    results["params"], results["n_resources"], results["mean_test_score"], strict=True
):
    ladder.setdefault(described(candidate), {})[int(n_epochs)] = score
rungs = sorted({n for scores in ladder.values() for n in scores})
print(f"  {'':20}" + "".join(f"{n:>9}" for n in rungs))
for name, scores in sorted(ladder.items(), key=lambda item: (-len(item[1]), -item[1][rungs[0]])):
    print(f"  {name:20}" + "".join(f"{scores[n]:9.2f}" if n in scores else f"{'-':>9}" for n in rungs))
print(f"chosen: {described(search.best_params_)}")

# %%
# Is the difference real?
# -----------------------
#
# Some images are hard for any machine, and the scores of single images differ by many nats. So the standard error of a
# mean score is large. But the error of a *difference* is that of the images' differences, and candidates mostly find
# the same images hard: ``compare_densities`` has both errors. The machines of a search also share the random numbers by
# which their likelihood is estimated. Only the difference can tell candidates apart.
#
# Here are machines that differ from the chosen one in a single respect each, on the images that had no part in the
# choice.

from sklearn.base import clone

from skwakesleep.reference import compare_densities

chosen = clone(search.best_estimator_).set_params(max_iter=rungs[-1], n_score_particles=200)
variants = {
    "chosen": {},
    "another seed": {"random_state": 1},
    "twice as wide": {"hidden_layer_sizes": tuple(2 * n for n in chosen.hidden_layer_sizes)},
    "half as wide": {"hidden_layer_sizes": tuple(n // 2 for n in chosen.hidden_layer_sizes)},
    "a layer of 20 above": {"hidden_layer_sizes": (*chosen.hidden_layer_sizes, 20)},
    "independent causes": {"autoregressive": None},
    "half the epochs": {"max_iter": chosen.max_iter // 2},
}
machines = {name: clone(chosen).set_params(**changes).fit(train) for name, changes in variants.items()}
comparison = compare_densities(machines, test, reference="chosen")

print(f"\n{len(test)} test images, nats per image")
print(f"  {'':20}{'score':^18}{'difference to the chosen':^28}")
for name, score, score_error, difference, error in zip(*comparison.values(), strict=True):
    print(f"  {name:20}{score:9.2f} +- {score_error:.2f}{difference:+16.2f} +- {error:.2f}")

# %%
# The errors on the right are much smaller than those on the left. Differences beyond two of them would show on other
# images, too. But they are errors over images, not over fits: the machine with another seed tells how much two runs of
# the same kind differ, and a difference below that says nothing about the kind. If *twice as wide* is ahead by more
# than that, halving gave up a slow starter that it should have kept.
#
# One more error is left: the likelihood itself is an estimate, from a number of importance samples for each row. It is
# a lower bound in expectation. ``certify`` measures the distance on dreams, whose likelihood is also bounded from
# above.

print(f"\n{machines['chosen'].certify(200, random_state=0)}")

# %%
# The ladder
# ----------
#
# What is a nat worth? Other densities are the measure: pixels that know nothing of each other; a tree, in which each
# knows of one other; mixtures, in which an image has one cause of some tens; then machines, whose causes combine.

import matplotlib.pyplot as plt

from skwakesleep.plotting import ComparisonDisplay
from skwakesleep.reference import BernoulliMixture, ChowLiuTree, IndependentBernoulli

densities = {
    "independent pixels": IndependentBernoulli().fit(train),
    "tree": ChowLiuTree().fit(train),
    **{f"mixture of {n}": BernoulliMixture(n, random_state=0).fit(train) for n in (10, 40)},
    **{f"machine, {name}": machines[name] for name in ("chosen", "twice as wide", "independent causes")},
}

figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.8), layout="constrained")
for name, scores in ladder.items():
    survives = len(scores) == len(rungs)
    left.plot(
        list(scores), list(scores.values()), "o-", color=None if survives else "0.7", label=name if survives else None
    )
left.plot([], [], "o-", color="0.7", label="given up")
left.set(xscale="log", xticks=rungs, xticklabels=rungs, xlabel="epochs", ylabel="log-likelihood (nats per image)")
left.minorticks_off()
left.set_title("Halving: held-out images of three folds")
left.legend(loc="lower right")
ComparisonDisplay.from_estimators(densities, test, ax=right)
plt.show()
