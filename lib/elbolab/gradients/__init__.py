"""Gradients of expectations over discrete latents: d/dphi E_{q_phi(z)}[f(z)] where z cannot be reparameterized.

One convention holds everywhere: (samples, batch, ...), with the samples' dimension there even for one sample.

    logits   (batch, L, C)      of q: L independent latents of C classes each; they need not be normalized
    z        (S, batch, L, C)   codes, one-hot or relaxed; (N, 1, L, C) means the same N codes for every example
    f(z)     (S, batch)         the cost, in nats
    log_q    (S, batch)         log q(z|x), in nats

An estimator is a function `estimator(f, logits, ...) -> (batch,)`. Its value estimates E_q[f(z)]; the gradient of its
value with respect to the logits is the estimator, and with respect to f's own parameters the gradient of f at the
samples. To use it, call `.mean().backward()`. A cost that lost a dimension is refused (see `check_cost`).

    exact      enumeration
    unbiased   score_function (with a baseline that does not look at its own sample), rloo, rebar;
               disarm for Bernoulli latents; vimco for the multi-sample bound
    biased     gumbel_softmax, straight_through_gumbel; often of small variance
"""

from .baselines import LearnedBaseline, MovingAverage, leave_one_out
from .bernoulli import disarm
from .categorical import all_codes, check_cost, gumbel_noise, kl_to_uniform, log_prob_one_hot, sample_one_hot
from .relaxed import (
    exponential_schedule,
    gumbel_softmax,
    linear_schedule,
    rebar,
    relaxed_one_hot,
    straight_through,
    straight_through_gumbel,
)
from .score import enumeration, expectation, rloo, score_function, score_surrogate, vimco
from .statistics import draw_statistics, gradient_draws, gradient_statistics

__all__ = [
    "LearnedBaseline",
    "MovingAverage",
    "all_codes",
    "check_cost",
    "disarm",
    "draw_statistics",
    "enumeration",
    "expectation",
    "exponential_schedule",
    "gradient_draws",
    "gradient_statistics",
    "gumbel_noise",
    "gumbel_softmax",
    "kl_to_uniform",
    "leave_one_out",
    "linear_schedule",
    "log_prob_one_hot",
    "rebar",
    "relaxed_one_hot",
    "rloo",
    "sample_one_hot",
    "score_function",
    "score_surrogate",
    "straight_through",
    "straight_through_gumbel",
    "vimco",
]
