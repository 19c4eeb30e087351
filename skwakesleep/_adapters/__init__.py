"""Adapters between scikit-learn's conventions and the engine."""
