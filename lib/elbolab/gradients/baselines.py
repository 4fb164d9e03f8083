"""Baselines: what is subtracted from the cost in a score-function estimator. It costs no bias, if it does not look.

A baseline is a function `baseline(cost, x)` of the costs `(S, batch)` and the examples x (or None); it returns
something that broadcasts to `(S, batch)`. E[b grad log q] = b grad E[1] = 0 needs a b that does not depend on the
sample it is subtracted from. So each of these looks first and learns afterwards.
"""

import torch
from torch import Tensor, nn

__all__ = ["LearnedBaseline", "MovingAverage", "leave_one_out"]


def leave_one_out(cost: Tensor, x: Tensor | None = None) -> Tensor:
    """For each sample the mean cost of the *other* samples: `(S, batch)` -> `(S, batch)`, without gradient.

    References:
        Buy 4 REINFORCE Samples, Get a Baseline for Free! (Kool, van Hoof and Welling, 2019)
        https://openreview.net/forum?id=r1lgTGL5DE

    >>> leave_one_out(torch.tensor([[1.0], [2.0], [6.0]])).tolist()
    [[4.0], [3.5], [1.5]]
    """
    samples = cost.shape[0]
    if samples < 2:
        raise ValueError("leave_one_out: with one sample there is no other sample; use two or more.")
    cost = cost.detach()
    return (cost.sum(0) - cost) / (samples - 1)


class MovingAverage(nn.Module):
    """The mean of all earlier costs, old ones forgotten by the factor `decay` a call; 0 before the first.

    It learns in training mode (`.train()`, the default), with gradients enabled; `.eval()` freezes it.

    >>> baseline = MovingAverage(decay=0.5)
    >>> [baseline(torch.full((1, 2), cost)).item() for cost in (4.0, 8.0, 8.0)]
    [0.0, 4.0, 6.666666507720947]
    """

    def __init__(self, decay: float = 0.99):
        super().__init__()
        self.decay = decay
        self.register_buffer("total", torch.zeros(()))
        self.register_buffer("weight", torch.zeros(()))

    def forward(self, cost: Tensor, x: Tensor | None = None) -> Tensor:
        # The weights decay, decay^2, ... do not sum to 1 in the beginning; dividing by their sum is Adam's correction, too.
        average = (self.total / self.weight.clamp_min(1e-12)).to(cost.dtype)
        if self.training and torch.is_grad_enabled():
            self.total = self.decay * self.total + (1 - self.decay) * cost.detach().mean()
            self.weight = self.decay * self.weight + (1 - self.decay)
        return average


class LearnedBaseline(nn.Module):
    """A small network b(x) that predicts the cost of an example, added to the moving average: a learned control variate.

    It takes a step of its own optimizer (Adam) on the squared error after each look, in training mode.

    References:
        Neural Variational Inference and Learning in Belief Networks (Mnih and Gregor, 2014), section 2.3.1
        https://arxiv.org/abs/1402.0030

    Arguments:
        features: numbers in one example, e.g. 784.
        hidden: width of the one hidden layer.
        lr: Adam's learning rate.
    """

    def __init__(self, features: int, hidden: int = 100, lr: float = 1e-3):
        super().__init__()
        self.average = MovingAverage()
        self.network = nn.Sequential(nn.Flatten(), nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, 1))
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr)

    def forward(self, cost: Tensor, x: Tensor) -> Tensor:
        """b(x), `(batch,)`, without gradient."""
        if x is None:
            raise ValueError("LearnedBaseline: the cost does not say its examples; give f an attribute x, as model.cost(x) has.")
        predicted = self.average(cost) + self.network(x).squeeze(-1)
        if self.training and torch.is_grad_enabled():
            self.optimizer.zero_grad()
            (cost.detach() - predicted).square().mean().backward()
            self.optimizer.step()
        return predicted.detach()
