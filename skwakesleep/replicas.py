"""Deprecated path of `skwakesleep.contrib.replicas`."""

from skwakesleep._deprecation import deprecated_names, moved

__getattr__ = deprecated_names(
    __name__, {name: moved(name, "skwakesleep.contrib.replicas") for name in ("average", "replicate")}
)
