"""What people get to read of an executed notebook."""

from __future__ import annotations

from typing import Any

from autograder.written import verdicts

__all__ = ["printed_by", "said_of"]


def said_of(notebook: Any) -> str:
    """Everything that the grader says in it: notes, problems, verdicts and errors, a line each."""
    about = notebook.metadata.get("elbolab", {})
    lines = [note["sentence"] for note in about.get("notes", [])] + list(about.get("problems", []))
    for verdict in verdicts(notebook):
        lines += [verdict["message"], *(finding["message"] for finding in verdict.get("findings", []))]
    for cell in notebook.cells:
        lines += [output.get("evalue", "") for output in cell.get("outputs", []) if output["output_type"] == "error"]
        lines += [cell.source] if cell.get("id", "").startswith("unreadable") else []
    return "\n".join(lines)


def printed_by(notebook: Any) -> str:
    """Everything that code showed in it, but for tracebacks: they repeat the source."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "\n".join(str(output.get("text", "")) + str(output.get("data", "")) + output.get("evalue", "") for output in outputs)
