"""
====================
A latent on a circle
====================

Six sensors measure a periodic process, such as the phase of the day, of a wheel, or of the cell cycle. The response of
each sensor is a sine wave of the phase, with noise. The phase is not observed. The model has one latent, an angle. A
Gaussian approximation does not fit its posterior, which covers an arc of the circle, or the whole circle.

``AmortisedWakeSleep`` needs no approximate posterior. It draws dreams, which are pairs of angles and readings, and
estimates the gradient at the observed readings. It uses either a regression of the gradient on dreams, or importance
weights of dreams, if enough dreams explain each reading. ``gradient_`` names the estimate used.
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
# ``LatentFactors`` has an angle among its priors. Its likelihood can be computed by quadrature over the circle. The fit
# can therefore be scored and compared with factor analysis, which models the two dimensions of the ring by a normal
# distribution. Scores are in nats per row on new readings, and higher is better. Matrices this small are faster with
# one thread.

threadpool_limits(1)
ring = LatentFactors(6, 1, latents="angle", noise="spherical")
fitted = AmortisedWakeSleep(ring, max_iter=120, random_state=0).fit(X)
factors = FactorAnalysis(2).fit(X)

print(f"gradient          {fitted.gradient_}")
print(f"ring              {fitted.score(fresh):.3f}")
print(f"factor analysis   {factors.score(fresh):.3f}")
print(f"noise             {np.sqrt(fitted.params_['noise_variance'][0]):.3f}, true 0.400")

# %%
# Inferred phases
# ---------------
#
# ``transform`` estimates the posterior expectation of the cosine and sine of the angle from dreams. Its direction is
# the phase, up to the origin and the sign of the angle, which are not identifiable. Its length measures the certainty:
# the longer the arc, the nearer is its mean to the center.

expected = fitted.transform(fresh)
inferred = np.arctan2(expected[:, 1], expected[:, 0])
offsets = [np.angle(np.exp(1j * (inferred - sign * phase)).mean()) for sign in (1, -1)]
errors = [np.angle(np.exp(1j * (inferred - sign * phase - at))) for sign, at in zip((1, -1), offsets, strict=True)]
error = min(errors, key=lambda e: np.abs(e).mean())
print(f"median error of the phase: {np.degrees(np.median(np.abs(error))):.0f} degrees")

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
right.set(title="Error and certainty", xlabel="length of the expectation", ylabel="error of the phase (degrees)")
figure.savefig("plot_ring_latent.png", dpi=150)
