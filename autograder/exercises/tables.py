"""The general probe of a recorded experiment: a student's table becomes plain columns. Nothing is judged here.

It runs beside the student's code. Which columns it is to read comes with the inputs: see `columns`.
"""

import numbers
from collections.abc import Sequence
from typing import Any

import pandas as pd

from autograder.probing import Trouble

__all__ = ["columns", "probe"]

MOST_ROWS = 1000


def columns(table: str, texts: Sequence[str] = (), numeric: Sequence[str] = ()) -> dict[str, Any]:
    """Inputs of `probe`: the table's name in the notebook, its columns of text and its columns of numbers."""
    return {"table": table, "texts": list(texts), "numeric": list(numeric)}


def probe(student: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """The columns of the table that the inputs name: lists of str, and of float (which may be NaN), all of one length."""
    name, texts, numeric = inputs["table"], inputs["texts"], inputs["numeric"]
    table, wanted = need_table(student, name), [*texts, *numeric]
    levels = [level for level in table.index.names if level in wanted and level not in table.columns]
    if levels:  # a setting that serves as the table's index is a column like any other
        table = table.reset_index(level=levels)
    missing = [column for column in wanted if column not in table.columns]
    if missing:
        there = ", ".join(str(column) for column in table.columns) or "none"
        raise Trouble(f"`{name}` lacks {listed(missing)}. Its columns are: {there}.")
    double = [column for column in wanted if list(table.columns).count(column) > 1]
    if double:
        raise Trouble(f"`{name}` has {listed(double)} more than once.")
    if len(table) == 0:
        raise Trouble(f"`{name}` has no rows: this step is not done yet. Add one row for each model that you train.")
    if len(table) > MOST_ROWS:
        raise Trouble(f"`{name}` has {len(table):,} rows. It should hold one row for each model, not one for each step.")
    outputs: dict[str, Any] = {column: [str(value) for value in table[column]] for column in texts}
    for column in numeric:
        outputs[column] = [as_number(value, name, column, row) for row, value in enumerate(table[column])]
    return outputs


def need_table(student: Any, name: str) -> pd.DataFrame:
    """Refuse what is not a DataFrame, with what to do about it."""
    if student is None or student is Ellipsis:
        raise Trouble(f"`{name}` is still empty: this step is not done yet. Fill in the cell above and run it.")
    if isinstance(student, pd.DataFrame):
        return student
    kind = type(student).__name__
    advice = f" `pd.DataFrame({name})` makes a table of it." if isinstance(student, (list, dict)) else ""
    raise Trouble(f"`{name}` must be a pandas DataFrame with one row for each model; it is a {kind}.{advice}")


def as_number(value: Any, name: str, column: str, row: int) -> float:
    """One entry as a float: a number, or an array or tensor that holds one."""
    where = f"`{name}`, column `{column}`, row {row}:"
    shape = getattr(value, "shape", None)
    if shape is not None and any(size != 1 for size in shape):
        raise Trouble(f"{where} one number is expected, not values of shape {list(shape)}. Take their mean.")
    if shape is not None and hasattr(value, "item"):
        value = value.item()
    if value is None or value is pd.NA or value is pd.NaT:
        raise Trouble(f"{where} there is no number. Fill the table from what `train_and_measure` returns.")
    if not isinstance(value, numbers.Real):
        raise Trouble(f"{where} a number is expected, not {type(value).__name__} ({str(value)[:40]!r}).")
    return float(value)


def listed(columns: Sequence[str]) -> str:
    return f"the column{'s' if len(columns) > 1 else ''} " + ", ".join(f"`{column}`" for column in columns)
