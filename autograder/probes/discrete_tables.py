"""Probes of unit 04's recorded tables: a student's table becomes plain columns. Nothing is judged here."""

from __future__ import annotations

from typing import Any

from autograder.probes.experiments import MEASURED, read_table

__all__ = ["probe_race", "probe_twenty"]


def probe_race(student: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """Columns estimator (text), squared_bias and variance, as lists."""
    return read_table(student, "race_results", ("estimator",), ("squared_bias", "variance"))


def probe_twenty(student: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """Columns estimator (text), elbo, log_px and kl, as lists."""
    return read_table(student, "twenty_results", ("estimator",), MEASURED)
