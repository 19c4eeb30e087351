"""
===============================
A latent that lives on a circle
===============================

Six sensors watch something that goes round: the phase of the day, of a wheel, of a cell's cycle. Each sensor responds
with a wave of its own, and noise. Nobody tells us the phase. The model has one latent, an angle, and no Gaussian
posterior would do it justice: seen through noise, the posterior of an angle is an arc of the circle, or all of it.

``AmortisedWakeSleep`` needs no approximate posterior. The model dreams pairs of angles and readings, and the readings
that are given take the place of those dreamed: by regression of the gradient on dreams, or, as long as enough dreams
explain each reading, by weighing these. Which it was is in ``gradient_``.
"""

# %%
# Readings of a hidden phase
# --------------------------

import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import PCA, FactorAnalysis
from threadpoolctl import threadpool_limits

from skwakesleep import AmortisedWakeSleep
from skwakesleep.models import LatentFactors

rng = np.random.default_rng(0)
waves = rng.normal(size=(2, 6))


def readings(n_samples, noise=0.4):
    phase = rng.uniform(0, 2 * np.pi, n_samples)
    circle = np.column_stack([np.cos(phase), np.sin(phase)])
    return phase, circle @ waves + noise * rng.normal(size=(n_samples, 6))


_, X = readings(1000)
phase, fresh = readings(1000)

# %%
# Fit
# ---
#
# ``LatentFactors`` has the ring among its priors. Because a ring has a likelihood that can be computed, by quadrature
# over the circle, the result can be scored, and compared with factor analysis, which takes the two dimensions of the
# ring for a normal cloud. The scores are nats per row on fresh readings; more is better. Matrices this small are not
# worth a second thread.

threadpool_limits(1)
ring = LatentFactors(6, 1, latents="angle", noise="spherical")
fitted = AmortisedWakeSleep(ring, max_iter=120, random_state=0).fit(X)
factors = FactorAnalysis(2).fit(X)

print(f"gradient          {fitted.gradient_}")
print(f"ring              {fitted.score(fresh):.3f}")
print(f"factor analysis   {factors.score(fresh):.3f}")
print(f"noise             {np.sqrt(fitted.params_['noise_variance'][0]):.3f}, true 0.400")

# %%
# What the latents are
# --------------------
#
# ``transform`` estimates the posterior expectation of the angle's cosine and sine from dreams. Their direction is the
# phase, up to where zero is and which way round it goes, which nobody can know. Their length tells how certain it is:
# the longer the arc, the nearer its mean to the center.

expected = fitted.transform(fresh)
inferred = np.arctan2(expected[:, 1], expected[:, 0])
offsets = [np.angle(np.exp(1j * (inferred - way * phase)).mean()) for way in (1, -1)]
errors = [np.angle(np.exp(1j * (inferred - way * phase - at))) for way, at in zip((1, -1), offsets, strict=True)]
error = min(errors, key=lambda e: np.abs(e).mean())
print(f"typical error of the phase: {np.degrees(np.median(np.abs(error))):.0f} degrees")

figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12, 4), layout="constrained")
plane = PCA(2).fit(X)
dreams = plane.transform(fitted.sample(1000, random_state=0))
left.scatter(*plane.transform(fresh).T, s=4, color="0.6", label="readings")
left.scatter(*dreams.T, s=4, color="C1", alpha=0.5, label="dreams")
left.set(title="Readings and dreams", aspect="equal")
left.set(xlabel="first principal component", ylabel="second principal component")
left.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, markerscale=3)
points = middle.scatter(*expected.T, c=phase, s=5, cmap="twilight")
middle.set(title="Expected latent", xlabel="expected cosine", ylabel="expected sine")
middle.set(aspect="equal", xlim=(-1.1, 1.1), ylim=(-1.1, 1.1))
figure.colorbar(points, ax=middle, label="true phase")
length = np.linalg.norm(expected, axis=1)
right.scatter(length, np.degrees(np.abs(error)), s=5, color="C0")
right.set(
    title="The shorter, the less certain", xlabel="length of the expectation", ylabel="error of the phase (degrees)"
)
figure.savefig("plot_ring_latent.png", dpi=150)
