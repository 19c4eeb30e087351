"""
============================================
A table of words, numbers and missing values
============================================

Tables have columns of words, counts and measurements, and some of their values are missing. A Helmholtz machine is
fitted to such a table as it is. This example deletes a third of the values of a table of wines, and compares what the
machine says about them with the truth: best guesses, several draws for a row, and the log-likelihood of complete rows.
The example needs pandas.
"""

# %%
# A mixed table
# -------------
#
# The wines of scikit-learn were grown in one region of Italy, and come from three cultivars, which are named by a
# column of words. The alcohol content is cut into ordered categories. Magnesium and proline are whole numbers. A
# quarter of the wines are for testing.

import numpy as np
import pandas as pd
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split
from threadpoolctl import threadpool_limits

from skwakesleep import HelmholtzMachine

threadpool_limits(1)  # matrices this small are faster with one thread
wine = load_wine(as_frame=True)
table = wine.data.rename(columns={"od280/od315_of_diluted_wines": "od280/od315"})
table["alcohol"] = pd.cut(table["alcohol"], [0, 12.5, 13.3, 20], labels=["low", "medium", "high"])
table = table.astype({"magnesium": int, "proline": int})
table.insert(0, "cultivar", wine.target_names[wine.target].astype(object))
train, test = train_test_split(table, random_state=0, stratify=wine.target)

rng = np.random.default_rng(0)
holed = train.mask(rng.random(train.shape) < 0.3)
print(f"{len(train)} rows with {holed.isna().sum().sum()} missing values; complete rows: {len(holed.dropna())}")

# %%
# Fit
# ---
#
# The kind of each column follows from its dtype and its values. There are no complete rows to fit other models to. The
# usual way out is to fill in the mean, or the most frequent category. We fit a second machine to a table that was
# filled in this way.


def fill_in(column):
    """Fill in the most frequent category, or the mean, rounded as the column is."""
    if not pd.api.types.is_numeric_dtype(column):
        return column.fillna(column.mode()[0])
    is_whole = (column.dropna() % 1 == 0).all()
    return column.fillna(round(column.mean(), 0 if is_whole else 2))


filled = holed.apply(fill_in)
machine = HelmholtzMachine(random_state=0).fit(holed)
machine_of_filled = HelmholtzMachine(random_state=0).fit(filled)
for kind in dict.fromkeys(machine.visible_):
    print(f"  {kind:12} {', '.join(machine.feature_names_in_[machine.visible_ == kind])}")

# %%
# Scores of complete rows
# -----------------------
#
# Filled-in means add rows that do not exist: many wines whose values are average and do not depend on each other. The
# machine learns them too. On the test rows, which are complete, filling in is worse than to leave the values out, and
# even worse than to take the columns for independent.

from skwakesleep.reference import IndependentColumns, compare_densities

densities = {
    "missing values left out": machine,
    "means filled in": machine_of_filled,
    "independent columns": IndependentColumns().fit(holed),
}
comparison = compare_densities(densities, test)
print("\nLog-likelihood of test rows, nats per row")
for name, score, difference, error in zip(
    *(comparison[key] for key in ("density", "score", "difference", "difference_error")), strict=True
):
    print(f"  {name:25} {score:6.2f}   difference to the best {difference:6.2f} ± {error:.2f}")

# %%
# Best guesses
# ------------
#
# ``impute`` fills in the expected number or the most probable category, given what is known of the row. The error of
# numbers is in standard deviations of the column, and that of categories the share of wrong ones.


def error_of(guesses, name):
    """Return the error of the guesses of the missing values of a column."""
    missing = holed[name].isna()
    guess, truth = guesses.loc[missing, name], train.loc[missing, name]
    if not pd.api.types.is_numeric_dtype(truth):
        return np.mean(guess.astype(str) != truth.astype(str))
    return np.sqrt(np.mean((guess - truth) ** 2)) / train[name].std()


guesses = machine.impute(holed)
errors = pd.DataFrame(
    {source: [error_of(rows, name) for name in table] for source, rows in (("machine", guesses), ("means", filled))},
    index=table.columns,
)
print("\nErrors of the values filled in")
print(errors.round(2).to_string())

# %%
# Draws for one row
# -----------------
#
# A best guess does not show how uncertain it is. ``sample`` with rows given draws their missing values many times, from
# the distribution given the others. :meth:`~skwakesleep.HelmholtzMachine.impute_draws` returns draws as complete
# tables, for multiple imputation.

pair = ["flavanoids", "color_intensity"]
unknown = holed[pair].isna().all(axis=1) & holed["cultivar"].isna()
row = holed[unknown].head(1)
draws = machine.sample(300, given=row, random_state=0)
print(f"\nKnown of row {row.index[0]}:")
print(row.dropna(axis=1).to_string(index=False))
shares = draws["cultivar"].value_counts(normalize=True)
print(f"cultivar: {', '.join(f'{name} {share:.0%}' for name, share in shares.items())}", end="; ")
print(f"in truth {train.loc[row.index[0], 'cultivar']}")

# %%
# Figures
# -------
#
# Top: flavanoids that were deleted against the best guesses for them, and the errors of all columns. Bottom: draws of
# two values of the row above, with the truth, and the scores of the test rows.

import matplotlib.pyplot as plt

from skwakesleep.plotting import ComparisonDisplay, TableDisplay

figure, axes = plt.subplot_mosaic([["guesses", "errors"], ["draws", "scores"]], figsize=(11, 9), layout="constrained")
missing = holed["flavanoids"].isna()
limits = [0, table["flavanoids"].max()]
for name in wine.target_names:
    own = missing & (train["cultivar"] == name)
    axes["guesses"].scatter(train.loc[own, "flavanoids"], guesses.loc[own, "flavanoids"], s=18, label=name)
axes["guesses"].plot(limits, limits, color="0.5", linestyle="--")
axes["guesses"].axhline(holed["flavanoids"].mean(), color="0.5", linestyle=":", label="mean")
axes["guesses"].set(xlabel="truth", ylabel="best guess", title="Flavanoids that were deleted")
axes["guesses"].legend()

errors[::-1].plot.barh(ax=axes["errors"], width=0.8)
axes["errors"].set(xlabel="standard deviations; share of wrong categories", title="Errors of the values filled in")

axes["draws"].scatter(*train[pair].T.to_numpy(), s=8, color="0.75", label="all wines")
axes["draws"].scatter(*draws[pair].T.to_numpy(), s=8, color="C0", label="draws")
axes["draws"].scatter(*train.loc[row.index, pair].T.to_numpy(), s=160, marker="*", color="C3", label="truth")
axes["draws"].set(xlabel="flavanoids", ylabel="color intensity", title=f"Two missing values of row {row.index[0]}")
axes["draws"].legend()

ComparisonDisplay.from_estimators(densities, test, ax=axes["scores"])

# %%
# The distribution of each column, of the values that are left and of samples of the machine:

TableDisplay.from_estimator(machine, holed)
plt.show()
