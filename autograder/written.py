"""Verdicts as they stand in an executed notebook: what marks them among a cell's outputs, and how they are read back."""

from __future__ import annotations

from typing import Any

__all__ = ["VERDICT_MIME", "verdicts"]

VERDICT_MIME = "application/vnd.elbolab.verdict+json"  # what a panel carries for reports, never for scores


def verdicts(notebook: Any) -> list[dict[str, Any]]:
    """The verdicts in an executed notebook: [{grade_id, check, points, ..., misconception, message, findings}].

    The grader alone writes outputs of test cells; submissions' own outputs are cleaned of this type.
    """
    found = []
    for cell in notebook.cells:
        mark = cell.metadata.get("nbgrader", {})
        for output in cell.get("outputs", []) if mark.get("grade") and not mark.get("solution") else []:
            record = output.get("data", {}).get(VERDICT_MIME)
            if isinstance(record, dict):
                found.append({"grade_id": mark["grade_id"], **record})
    return found
