"""Amortised learning by wake-sleep, for models that can be simulated."""
