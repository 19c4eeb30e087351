"""Data files, read by `skwakesleep.datasets`."""
