"""
========================
Layers of a deep machine
========================

This example trains machines with one, two and three hidden layers on images of digits, and compares joint training with
greedy training of one layer after the other. For the deepest machine, it shows the effects of the units in each layer,
the information about an image in each layer, and dead or always-on units.
"""

# sphinx_gallery_thumbnail_number = 2

# %%
# Larger digits
# -------------
#
# The digits of scikit-learn have 8 x 8 pixels. Here they are enlarged by a factor of two with linear interpolation, and
# then binarized: ink or paper.

import numpy as np
from scipy.ndimage import zoom
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from threadpoolctl import threadpool_limits

from skwakesleep import HelmholtzMachine

threadpool_limits(1)  # matrices this small are faster with one thread
digits = load_digits()
images = np.array([zoom(image, 2, order=1) for image in digits.images])
X = (images.reshape(len(images), -1) >= 8).astype(np.float32)
train, test = train_test_split(X, test_size=0.25, random_state=0, stratify=digits.target)

# %%
# Depth
# -----
#
# ``hidden_layer_sizes`` starts with the layer nearest the data. All layers are trained jointly: each generative layer
# is fitted to the states that the recognition network draws for the layer below. The top layer has no parents. In the
# first column, its units are independent in dreams, and their dependence can be learned only by a further layer. In the
# second column, its units are connected with each other [1]_, which often replaces further layers. Deeper machines are
# not always better. By default, pixels are connected as well. Here they are not, so that the hidden units have to
# explain all that pixels have in common.
#
# .. [1] K. Gregor, I. Danihelka, A. Mnih, C. Blundell, D. Wierstra. "Deep autoregressive networks". ICML 2014.
#    arXiv:1310.8499.

machines = {}
print("Log-likelihood of the test images, nats per image")
print(f"  {'hidden layers':16}{'independent top':>18}{'connected top':>18}")
for sizes in [(100,), (100, 40), (100, 40, 15)]:
    for autoregressive in (None, "prior"):
        machine = HelmholtzMachine(sizes, autoregressive=autoregressive, output="means", random_state=0)
        machines[sizes, autoregressive] = machine.fit(train)
    scores = [machines[sizes, autoregressive].score(test) for autoregressive in (None, "prior")]
    print(f"  {'-'.join(map(str, sizes)):16}" + "".join(f"{score:18.2f}" for score in scores), flush=True)

# %%
# Joint and greedy training
# -------------------------
#
# Layers can also be stacked greedily [2]_: a second machine is trained on the hidden units of the first, and a third on
# those of the second. A ``Pipeline`` of scikit-learn implements this, and its ``inverse_transform`` maps features to
# rows. The stack extracts features but has no likelihood, because the machines are independent models.
#
# To compare both, test images are mapped up to a layer and down again, with probabilities instead of states. The loss
# is the cross-entropy between an image and its reconstruction. ``transform`` and ``inverse_transform`` use the top
# layer. For the layers below, we use the weights of the machine.
#
# .. [2] G. E. Hinton, S. Osindero, Y.-W. Teh. "A fast learning algorithm for deep belief nets". Neural Computation 18
#    (2006) 1527-1554.

from scipy.special import expit, xlogy
from sklearn.pipeline import make_pipeline

sizes = (100, 40, 15)
machine = machines[sizes, None]


def passed_up(machine, X):
    """Return the recognition network's probabilities in each hidden layer, bottom up."""
    layers = [X]
    for weights, intercepts in zip(machine.recognition_coefs_, machine.recognition_intercepts_, strict=True):
        layers.append(expit(layers[-1] @ weights + intercepts))
    return layers[1:]


def passed_down(machine, H, layer, activate=expit):
    """Return the columns that the generative network computes from states of a layer. Layers are counted from 0."""
    below = list(zip(machine.generative_coefs_, machine.generative_intercepts_, strict=True))[: layer + 1]
    for weights, intercepts in reversed(below):
        H = activate(H @ weights + intercepts)
    return H


def loss(X, probabilities):
    """Return the mean cross-entropy in nats per row."""
    p = np.clip(probabilities, 1e-6, 1 - 1e-6)
    return -(xlogy(X, p) + xlogy(1 - X, 1 - p)).sum(axis=1).mean()


layers = passed_up(machine, test)
np.testing.assert_allclose(layers[-1], machine.transform(test), rtol=1e-4, atol=1e-6)
jointly = [loss(test, passed_down(machine, H, layer)) for layer, H in enumerate(layers)]
stack = make_pipeline(
    *(HelmholtzMachine(n, autoregressive="prior", output="means", random_state=0) for n in sizes)
).fit(train)
greedily = [loss(test, part.inverse_transform(part.transform(test))) for part in (stack[:1], stack[:2], stack)]

print("\nReconstruction loss from each layer, nats per image")
print(f"  {'hidden layer':14}{'units':>8}{'jointly':>10}{'greedily':>10}")
for layer, n_units in enumerate(sizes):
    print(f"  {layer + 1:<14}{n_units:8}{jointly[layer]:10.1f}{greedily[layer]:10.1f}")

# %%
# Effects of single units
# -----------------------
#
# The generative weights of the first layer are images. Units of higher layers act through the layers below. Their
# effect is the difference of two expected images, with the unit on and off, while the other units of the layer have
# their mean activity.

import matplotlib.pyplot as plt

from skwakesleep.plotting import ActivityDisplay, ComponentsDisplay


def effects(machine, activity, layer):
    """Return the effect of each unit of a layer on the expected columns."""
    on, off = (np.tile(activity, (len(activity), 1)) for _ in range(2))
    np.fill_diagonal(on, 1)
    np.fill_diagonal(off, 0)
    return passed_down(machine, on, layer) - passed_down(machine, off, layer)


activities = [H.mean(axis=0) for H in passed_up(machine, train)]
figure, axes = plt.subplots(1, 3, figsize=(13, 4.4), layout="constrained")
for layer, (ax, activity) in enumerate(zip(axes, activities, strict=True)):
    images = effects(machine, activity, layer)
    largest = np.argsort(-np.linalg.norm(images, axis=1))[:36]
    display = ComponentsDisplay(images[largest], (16, 16)).plot(ax=ax)
    display.image_.colorbar.set_label("change in the probability of ink")
    ax.set_title(f"Layer {layer + 1}: effect of {len(largest)} units")

# %%
# Variation given a layer
# -----------------------
#
# For each test image in the first row, the recognition network draws a state of every layer. The rows below show the
# expected image given the state of a layer, and a dream given this state, in which all units below are drawn at random.
# The higher the layer, the larger the variation. The top layer represents the kind of image rather than its details.

rng = np.random.default_rng(0)


def drawn(log_odds):
    return (rng.random(log_odds.shape) < expit(log_odds)).astype(np.float32)


shown = test[:12]
rows = {"data": shown}
state = shown
for layer, (weights, intercepts) in enumerate(
    zip(machine.recognition_coefs_, machine.recognition_intercepts_, strict=True)
):
    state = drawn(state @ weights + intercepts)
    rows[f"layer {layer + 1}: expected"] = passed_down(machine, state, layer)
    rows[f"layer {layer + 1}: dream"] = passed_down(machine, state, layer, activate=drawn)

figure, axes = plt.subplots(len(rows), 1, figsize=(9, 6.2), layout="constrained")
for ax, (name, row) in zip(axes, rows.items(), strict=True):
    strip = np.pad(row.reshape(-1, 16, 16), [(0, 0), (0, 0), (1, 1)]).transpose(1, 0, 2).reshape(16, -1)
    ax.imshow(strip, cmap="gray_r", vmin=0, vmax=1)
    ax.set(xticks=[], yticks=[])
    ax.set_ylabel(name, rotation=0, ha="right", va="center")
    ax.spines[:].set_visible(False)

# %%
# Dead and always-on units
# ------------------------
#
# A unit that is never on has no effect, and a unit that is always on acts as an intercept. `ActivityDisplay` shows the
# activity of the units of a layer, and names these units. With an independent top layer, a layer may have more units
# than it uses. A smaller layer would be enough.

figure, axes = plt.subplots(1, 3, figsize=(13, 3.8), layout="constrained")
for layer, (ax, activity) in enumerate(zip(axes, activities, strict=True)):
    display = ActivityDisplay(activity, [f"unit {unit}" for unit in range(len(activity))]).plot(ax=ax)
    ax.set_title(f"Layer {layer + 1}\n{ax.get_title()}", fontsize="medium")
    print(f"layer {layer + 1}: dead {display.dead_}, always on {display.always_on_}")
plt.show()
