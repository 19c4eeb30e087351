"""A Helmholtz machine in PyTorch, by automatic differentiation, for comparison.

The same model and learning rule, as one would write them in PyTorch: modules, expanded particles, a scalar loss and one
backward pass.
"""

from itertools import pairwise
from math import log

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits


class TorchMachine(nn.Module):
    """Bernoulli layers of the given sizes, visible first, without autoregressive connections."""

    def __init__(self, sizes, n_particles, learning_rate=1e-3):
        super().__init__()
        layers = list(pairwise(sizes))
        self.n_particles = n_particles
        self.prior = nn.Parameter(torch.zeros(sizes[-1]))
        self.generative = nn.ModuleList(nn.Linear(above, below) for below, above in layers)
        self.recognition = nn.ModuleList(nn.Linear(below, above) for below, above in layers)
        self.adam = torch.optim.Adam(self.parameters(), lr=learning_rate)

    def infer(self, x, n_particles):
        """Draw the hidden layers of all particles for each row; return all layers and the log-probability."""
        states, logits = [x], []
        for depth, layer in enumerate(self.recognition):
            logits.append(layer(states[-1]))
            probabilities = logits[-1].detach().sigmoid()
            if depth == 0:
                probabilities = probabilities.expand(n_particles, *probabilities.shape)
            states.append(torch.bernoulli(probabilities))
        return states, sum(log_bernoulli(a.expand_as(h), h) for a, h in zip(logits, states[1:], strict=True))

    def log_joint(self, states):
        """Return the generative log-probability of all layers together."""
        total = log_bernoulli(self.prior.expand_as(states[-1]), states[-1])
        for layer, below, above in zip(self.generative, states, states[1:], strict=False):
            total = total + log_bernoulli(layer(above), below)
        return total

    @torch.no_grad()
    def dream(self, n_rows):
        """Draw all layers from the generative network, visible first."""
        states = [torch.bernoulli(self.prior.sigmoid().expand(n_rows, -1))]
        for layer in reversed(self.generative):
            states.insert(0, torch.bernoulli(layer(states[0]).sigmoid()))
        return states

    def step(self, x):
        """Make one training step of reweighted wake-sleep, with both updates of the recognition network."""
        states, log_q = self.infer(x, self.n_particles)
        log_p = self.log_joint(states)
        weights = (log_p - log_q).detach().softmax(0)
        loss = -(weights * log_p).sum() / len(x) - 0.5 * ((weights - 1 / self.n_particles) * log_q).sum() / len(x)
        states = self.dream(len(x))
        log_q = sum(
            log_bernoulli(layer(below), above)
            for layer, below, above in zip(self.recognition, states, states[1:], strict=False)
        )
        loss = loss - 0.5 * log_q.mean()
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()

    @torch.no_grad()
    def score(self, x, n_particles):
        """Return the mean log-likelihood of rows, by importance sampling."""
        states, log_q = self.infer(x, n_particles)
        return float((self.log_joint(states) - log_q).logsumexp(0).mean()) - log(n_particles)


def log_bernoulli(logits, target):
    """Return the log-probability of the last axis."""
    return -binary_cross_entropy_with_logits(logits, target.expand_as(logits), reduction="none").sum(-1)
