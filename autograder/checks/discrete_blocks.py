"""The checks of unit 04's first pieces: the KL to the uniform prior, the likelihood under every code, exact enumeration."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from autograder.checks.discrete_findings import changed, check, fail, first_name, judge_gradient, near, slopes
from autograder.checks.discrete_truth import Truth, draw_problem
from autograder.checks.vae_calls import shown
from autograder.probes.discrete import probe_expected_cost, probe_kl, probe_log_likelihood
from autograder.verdict import Finding, failed, passed

__all__ = ["CHECKS"]

# --- KL(q || uniform) -----------------------------------------------------------------------------


def draw_kl(rng: torch.Generator) -> dict[str, Any]:
    logits = 1.5 * torch.randn(6, 3, 5, generator=rng) + 2 * torch.randn(6, 3, 1, generator=rng)
    far = 150.0 * torch.rand(4, 3, 5, generator=rng)
    far[..., 2] -= 400  # its probability is zero in float32
    return {"logits": logits, "far_logits": far, "weights": 0.5 + torch.rand(6, generator=rng)}


def kl(logits: Tensor, dim: int = -1) -> Tensor:
    """sum_l [log C + sum_c q log q], (batch,); q log q is 0 where q is 0."""
    log_q = logits.double().log_softmax(dim)
    return (log_q.exp() * (log_q + math.log(logits.shape[-1]))).sum((-2, -1))


def kl_candidates(logits: Tensor) -> dict[str, Tensor]:
    latents, classes = logits.shape[-2:]
    log_q = logits.log_softmax(-1)
    negative_entropy = (log_q.exp() * log_q).sum(-1)  # (batch, L)
    each = negative_entropy + math.log(classes)
    want, minus_h = each.sum(-1), negative_entropy.sum(-1)
    return {
        "kl_sign_flipped": -want,
        "log_c_missing": minus_h,
        "log_c_missing#entropy": -minus_h,
        "entropy_sign_flipped": latents * math.log(classes) - minus_h,
        "log_c_once": minus_h + math.log(classes),
        "kl_reversed": (-math.log(classes) - log_q.mean(-1)).sum(-1),
        "kl_reversed#sum": (-math.log(classes) - log_q.sum(-1)).sum(-1),
        "mean_over_latents": each.mean(-1),
        "mean_over_classes": (log_q.exp() * (log_q + math.log(classes))).mean(-1).sum(-1),
        "mean_over_classes#entropy": (negative_entropy / classes + math.log(classes)).sum(-1),
        "mean_over_classes#both": (log_q.exp() * (log_q + math.log(classes))).mean((-2, -1)),
        "softmax_over_the_wrong_axis": kl(logits, -2),
        "softmax_over_the_wrong_axis#batch": kl(logits, 0),
        "softmax_over_the_wrong_axis#flat": kl(logits.flatten(1)[:, None]) + math.log(classes) - math.log(latents * classes),
        "softmax_over_the_wrong_axis#all": kl(logits.flatten(1)[:, None]),
        "wrong_number_of_classes": minus_h + latents * math.log(latents),
        "wrong_number_of_classes#all": minus_h + latents * math.log(latents * classes),
        "logits_not_normalized": (log_q.exp() * (logits + math.log(classes))).sum((-2, -1)),
        "bits_for_nats": want / math.log(2),
        "not_summed": each,
        "not_summed#classes": log_q.exp() * (log_q + math.log(classes)),
        "summed_over_the_batch": want.sum(),
        "summed_over_the_batch#mean": want.mean(),
        "summed_over_the_batch#latents": each.sum(0),
    }


def judge_kl(inputs: dict[str, Any], outputs: dict[str, Any]) -> list[Finding]:
    logits, got = inputs["logits"].double(), outputs["value"]
    want = kl(logits)
    if changed(outputs["after"], [inputs["logits"]]):
        value = failed("value", "Your code changes logits in place.", "changes_its_inputs")
    elif near(got, want):
        value = passed("value", "The KL is right for each example.")
    elif got.shape == want.shape and not torch.equal(got, outputs["again"]) and bool(got.isfinite().all()):
        value = failed("value", "Two calls with the same logits differ.", "monte_carlo_for_closed_form", shown(want), shown(got))
    else:
        value = fail("value", "The KL is wrong.", got, want, first_name(got, kl_candidates(logits)))
    return [
        value,
        judge_far(inputs, outputs, value, kl(inputs["far_logits"]), "zero_times_log_zero", "Probabilities of zero"),
        judge_gradient(outputs, "logits", slopes(kl, inputs["weights"].double(), logits)[0], value),
    ]


def judge_far(inputs: dict[str, Any], outputs: dict[str, Any], value: Finding, want: Tensor, label: str, what: str) -> Finding:
    """The value at logits far from zero: right where the value is right, finite where its mistake has a name."""
    if not value.passed and value.misconception is None:
        return failed("extremes", "Judged once the value is right.")
    if "far_trouble" in outputs:
        return failed("extremes", str(outputs["far_trouble"]))
    got = outputs["far"]
    if not got.isfinite().all() or (value.passed and not near(got, want)):
        return failed("extremes", f"{what} make the result wrong.", label, shown(want), shown(got))
    return passed("extremes", f"{what} are no trouble.")


# --- log p(x|z) for every code --------------------------------------------------------------------


def draw_log_likelihood(rng: torch.Generator) -> dict[str, Any]:
    def problem(codes: int, batch: int, pixels: int, scale: float) -> tuple[Tensor, Tensor]:
        return scale * torch.randn(codes, pixels, generator=rng), (torch.rand(batch, pixels, generator=rng) < 0.4).float()

    logits, x = problem(7, 5, 30, 1.5)
    far_logits, far_x = problem(4, 3, 784, 120.0)
    return {"logits": logits, "x": x, "far_logits": far_logits, "far_x": far_x, "weights": 0.5 + torch.rand(7, 5, generator=rng)}


def log_likelihood(logits: Tensor, x: Tensor) -> Tensor:
    """(N, D) and (B, D) -> (N, B): x . logits - sum softplus(logits)."""
    return logits.double() @ x.double().T - F.softplus(logits.double()).sum(-1, keepdim=True)


def judge_log_likelihood(inputs: dict[str, Any], outputs: dict[str, Any]) -> list[Finding]:
    logits, x, got = inputs["logits"].double(), inputs["x"].double(), outputs["value"]
    want, pixels = log_likelihood(logits, x), x.shape[1]
    each = x * logits[:, None] - F.softplus(logits)[:, None]  # (N, B, D)
    if changed(outputs["after"], [inputs["logits"], inputs["x"]]):
        value = failed("value", "Your code changes its arguments in place.", "changes_its_inputs")
    elif near(got, want):
        value = passed("value", "log p(x|z) is right for each code and each image.")
    else:
        value = fail(
            "value",
            "log p(x|z) is wrong.",
            got,
            want,
            first_name(
                got,
                {
                    "cross_entropy_not_negated": -want,
                    "mean_over_pixels": want / pixels,
                    "mean_over_pixels#negated": -want / pixels,
                    "codes_and_images_swapped": want.T,
                    "not_summed": each,
                    "not_summed#swapped": each.transpose(0, 1),
                    "normalizer_left_out": logits @ x.T,
                    "only_the_ones": F.logsigmoid(logits) @ x.T,
                    "logits_for_probabilities": log_likelihood(logits.sigmoid(), x),
                    "summed_over_the_batch": want.sum(1),
                    "summed_over_the_batch#mean": want.mean(1),
                    "summed_over_the_batch#codes": want.sum(0),
                    "summed_over_the_batch#all": want.sum(),
                    "summed_over_the_batch#all mean": want.mean(),
                },
            ),
        )
    slope = slopes(lambda given: log_likelihood(given, x), inputs["weights"].double(), logits)[0]
    far = judge_far(inputs, outputs, value, log_likelihood(inputs["far_logits"], inputs["far_x"]), "sigmoid_saturates", "Large logits")
    return [value, far, judge_gradient(outputs, "logits", slope, value)]


# --- enumeration ----------------------------------------------------------------------------------


def draw_expected_cost(rng: torch.Generator) -> dict[str, Any]:
    shapes = ((2, 3), (3, 2), (1, 4))
    return {"weights": torch.rand(1, generator=rng), "problems": [draw_problem(rng, *shape, examples=3) for shape in shapes]}


def enumeration_candidates(truth: Truth) -> dict[str, Tensor]:
    """What comes of enumerating something else, or of weighting the joint states otherwise."""
    costs, q, log_q = truth.costs, truth.probabilities, truth.log_probabilities
    p = truth.logits.softmax(-1)
    latents, classes = p.shape[-2:]
    factors = (truth.codes * p).sum(-1)  # (K, batch, L)
    wrong_axis = truth.logits.softmax(-2)
    normalized = (truth.codes * wrong_axis).sum(-1).prod(-1)
    reversed_q = q.unflatten(0, (classes,) * latents).permute(*reversed(range(latents)), latents).flatten(0, latents - 1)
    table = {
        "cost_of_the_mean_code": truth.cost(p[None])[0],
        "probabilities_left_out": costs.mean(0),
        "probabilities_left_out#sum": costs.sum(0),
        "softmax_over_the_wrong_axis": (normalized * costs).sum(0),
        "softmax_over_the_wrong_axis#normalized": (normalized / normalized.sum(0) * costs).sum(0),
        "log_probabilities_as_weights": (log_q * costs).sum(0),
        "averaged_over_codes": (q * costs).mean(0),
        "probabilities_added": (factors.sum(-1) * costs).sum(0),
        "probabilities_added#mean": (factors.mean(-1) * costs).sum(0),
        "codes_and_weights_out_of_order": (reversed_q * costs).sum(0),
        "first_example_for_all": (q[:, :1] * costs).sum(0),
    }
    eye = torch.eye(classes, dtype=p.dtype)
    for kind, rest in (("zero", torch.zeros_like(p)), ("mean", p), ("mode", F.one_hot(p.argmax(-1), classes).double())):
        parts = []
        for latent in range(latents):
            z = rest.expand(classes, *p.shape).clone()
            z[:, :, latent] = eye[:, None]
            parts.append((p[:, latent].T * truth.cost(z)).sum(0))
        total = torch.stack(parts).sum(0)
        table |= {f"marginals_for_joint_states#{kind}": total, f"marginals_for_joint_states#{kind} mean": total / latents}
    return table


def judge_one_enumeration(problem: dict[str, Any], record: dict[str, Any]) -> list[Finding]:
    truth = Truth(problem)
    got, want = record["value"], truth.value
    if near(got, want):
        value = passed("value", "The expectation is exact.")
    elif got.shape == want.shape and bool(got.isfinite().all()) and not near(got, record["again"].double()):
        value = failed("value", "Two calls with the same arguments differ.", "sampled_not_enumerated", shown(want), shown(got))
    elif got.shape == want.shape:
        value = fail("value", "The expectation is wrong.", got, want, first_name(got, enumeration_candidates(truth)))
    else:
        label = "summed_over_the_batch" if got.numel() == 1 and want.numel() > 1 else "not_summed" if got.dim() > 1 else None
        return [failed("value", "One number for each example is asked for, shape [batch].", label, shown(want), shown(got))]
    weights = problem["weights"].double()[:, None]
    slope = judge_gradient(record, "logits", weights[..., None] * truth.gradient(), value, missing="probabilities_detached")
    decoder = judge_gradient(record, "theta", weights * truth.theta_gradient(), value, missing="cost_detached")
    return [value, slope if not slope.passed else decoder]


def judge_expected_cost(inputs: dict[str, Any], outputs: dict[str, Any]) -> list[Finding]:
    records, problems = outputs["records"], inputs["problems"]
    judged = []
    for problem, record in zip(problems, records, strict=True):
        judged.append([failed("value", str(record["trouble"]))] if "trouble" in record else judge_one_enumeration(problem, record))
    if judged[0][0].passed and not judged[1][0].passed:
        message = f"Right with two latents and wrong with three. {judged[1][0].message}"
        return [failed("value", message, "two_latents_only"), judged[0][1]]
    return next((findings for findings in judged if not all(f.passed for f in findings)), judged[0])


CHECKS = (
    check(
        "discrete.kl",
        "categorical_kl",
        "The KL to a uniform prior in closed form",
        {"value": 2, "extremes": 1, "gradient": 1},
        draw_kl,
        probe_kl,
        judge_kl,
        "section 1",
    ),
    check(
        "discrete.log_likelihood",
        "code_log_likelihood",
        "log p(x|z) of every image under every code",
        {"value": 2, "extremes": 1, "gradient": 1},
        draw_log_likelihood,
        probe_log_likelihood,
        judge_log_likelihood,
        "section 2, decode once",
    ),
    check(
        "discrete.enumeration",
        "expected_cost",
        "An expectation over all joint states",
        {"value": 2, "gradient": 2},
        draw_expected_cost,
        probe_expected_cost,
        judge_expected_cost,
        "section 2",
    ),
)
