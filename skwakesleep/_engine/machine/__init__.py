"""What a Helmholtz machine is: families, layers, networks, and the learning rule."""
