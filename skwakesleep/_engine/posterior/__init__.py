"""What is done with a machine: posterior, likelihood, certificates."""
