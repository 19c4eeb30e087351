"""
===============================
Which value makes a row strange
===============================

Some errors in a table are within the range of their column. They only show in a comparison with the rest of their row.
This example changes single values of a table of tumors. ``score_samples`` finds the rows, and ``score_columns`` finds
the value in the row. The example needs pandas.
"""

# %%
# A table with errors
# -------------------
#
# The table has the diagnosis of each tumor and ten properties of its cell nuclei, one of them cut into ordered
# categories and one in whole numbers. A machine is fitted to one half of the rows. In every fourth row of the other
# half, one value is replaced by that of another row, as if it was in the wrong line. Both are values of the column, so
# that no check of single columns can find them.

import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from threadpoolctl import threadpool_limits

from skwakesleep import DensityOutlierDetector, HelmholtzMachine

threadpool_limits(1)  # matrices this small are faster with one thread
cancer = load_breast_cancer(as_frame=True)
table = cancer.data.iloc[:, :10].rename(columns=lambda name: name.removeprefix("mean "))
table["area"] = table["area"].round().astype(int)
table["concavity"] = pd.qcut(table["concavity"], 4, labels=["none", "low", "medium", "high"])
table.insert(0, "diagnosis", cancer.target_names[cancer.target].astype(object))
train, test = train_test_split(table, test_size=0.5, random_state=0, stratify=cancer.target)
test = test.reset_index(drop=True)

rng = np.random.default_rng(0)
changed_rows = rng.permutation(len(test))[: len(test) // 4]
changed_columns = rng.integers(table.shape[1], size=len(changed_rows))
strange = test.copy()
for row, column in zip(changed_rows, changed_columns, strict=True):
    values = test.iloc[:, column]
    others = values[values != values[row]].to_numpy()
    strange.iloc[row, column] = rng.choice(others)
is_changed = np.isin(np.arange(len(test)), changed_rows)

# %%
# Find the rows
# -------------
#
# The lower the score of a row, the stranger it is. The scores of correct rows differ too: some tumors are rare.
# ``score_columns`` is the log-probability of each value given the rest of its row, and the lowest one is a better sign
# of a single error. Densities of columns in different units cannot be compared, so the median score of each column over
# the training rows is subtracted. :class:`~sklearn.ensemble.IsolationForest` is for comparison. The area under the ROC
# curve is the probability that a row with an error ranks before a correct one. Many of the errors cannot be found,
# because the new value is near the old one, or fits the rest of the row as well.
# :class:`~skwakesleep.DensityOutlierDetector` fits the machine, and adds p-values of the rows.

from sklearn.ensemble import IsolationForest

detector = DensityOutlierDetector(HelmholtzMachine(random_state=0), random_state=0).fit(train)
machine = detector.density_
scores = machine.score_samples(strange)
medians = np.median(machine.score_columns(train), axis=0)
relative = machine.score_columns(strange) - medians


def codes(rows):
    return rows.assign(concavity=rows["concavity"].cat.codes, diagnosis=rows["diagnosis"] == "benign").astype(float)


forest = IsolationForest(random_state=0).fit(codes(train))
rankings = {
    "score of the row": scores,
    "lowest score of a value": relative.min(axis=1),
    "IsolationForest": forest.score_samples(codes(strange)),
}
print("Area under the ROC curve")
for name, ranking in rankings.items():
    print(f"  {name:25}{roc_auc_score(is_changed, -ranking):.3f}")
print("\nFraction of rows with a p-value of at most 0.05")
is_outlier = detector.predict(strange) == -1
for name, rows in {"with an error": is_changed, "correct": ~is_changed}.items():
    print(f"  {name:25}{is_outlier[rows].mean():.3f}")

# %%
# Find the value
# --------------
#
# Among the changed rows, we count how often the lowest score is at the changed value. Two columns may contradict each
# other, and either could be wrong. Where three say the same, as radius, perimeter and area do, the odd one out is
# found.

lowest_first = relative[changed_rows].argsort(axis=1)
is_low = relative[changed_rows].min(axis=1) < np.quantile(relative.min(axis=1), 0.1)
print("\nFraction of changed rows in which the changed value has")
print(f"  {'':30}the lowest score   one of the two lowest")
for name, rows in {"all": np.full(len(is_low), True), "in the lowest tenth of rows": is_low}.items():
    hits = lowest_first[rows] == changed_columns[rows, np.newaxis]
    print(f"  {f'{name} ({rows.sum()})':30}{hits[:, 0].mean():16.2f}{hits[:, :2].any(axis=1).mean():24.2f}")

# %%
# Figure
# ------
#
# Left: the lowest score of a value in rows with and without an error. Right: the values of the changed row where it is
# lowest. The title has the value before the change.

import matplotlib.pyplot as plt

from skwakesleep.plotting import ExplanationDisplay, ScoreDisplay

figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.8), layout="constrained")
lowest = relative.min(axis=1)
ScoreDisplay({"correct rows": lowest[~is_changed], "rows with an error": lowest[is_changed]}).plot(ax=left)
left.set(xlabel="lowest score of a value, minus its median (nats)", title="Rows")

strangest = changed_rows[lowest[changed_rows].argmin()]
ExplanationDisplay.from_estimator(machine, strange.iloc[[strangest]], X=train, ax=right)
name = table.columns[changed_columns[changed_rows == strangest][0]]
right.set_title(f"A row whose {name} was {test[name][strangest]}")
plt.show()
