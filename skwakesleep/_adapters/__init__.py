"""Where scikit-learn's conventions meet the engine."""
