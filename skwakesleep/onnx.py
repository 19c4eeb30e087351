"""Deprecated path of `skwakesleep.contrib.onnx`."""

from skwakesleep._deprecation import deprecated_names, moved

__getattr__ = deprecated_names(__name__, {"register": moved("register", "skwakesleep.contrib.onnx")})
