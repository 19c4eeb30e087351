"""How anything is trained: parameters, optimizers, the loop and its state."""
