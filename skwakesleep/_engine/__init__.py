"""The engine: wake-sleep learning on NumPy and SciPy alone, with no scikit-learn import."""
