"""The corpus itself: it covers every clause, its code is Python, its names are its own."""

import ast
import re
from collections import Counter

import pytest
from all_attacks import ATTACKS
from corpus.attack import CELLS, RIGHT
from corpus.clauses import CLAUSES
from honest_class import HONEST
from IPython.core.inputtransformer2 import TransformerManager
from threat_class import student_of

# Entries whose cells are no Python on purpose.
NO_PYTHON = ("honest_syntax_error", "script_in_a_syntax_error", "text_to_code")


def test_every_clause_has_entries():
    covered = Counter(a.clause for a in [*ATTACKS, *HONEST])
    assert [clause for clause in CLAUSES if not covered[clause]] == []
    assert {a.clause for a in ATTACKS} <= set(CLAUSES)


def test_there_are_enough():
    assert len(ATTACKS) >= 110 and len(HONEST) >= 30


def test_names_are_unique():
    for kind in (lambda a: a.name, student_of):
        twice = [name for name, count in Counter(map(kind, [*ATTACKS, *HONEST])).items() if count > 1]
        assert twice == []


@pytest.mark.parametrize("attack", [*ATTACKS, *HONEST], ids=lambda a: a.name)
def test_what_is_expected_is_possible(attack):
    assert len(attack.points) == len(CELLS)
    assert all(0 <= points <= most for points, most in zip(attack.points, (4, 4, 3, 3)))
    assert re.compile(attack.reason)


@pytest.mark.parametrize("name, source", RIGHT.items())
def test_right_answers_are_python_or_words(name, source):
    if name != "answer_why":
        ast.parse(source)


@pytest.mark.parametrize("attack", [a for a in [*ATTACKS, *HONEST] if a.name not in NO_PYTHON], ids=lambda a: a.name)
def test_code_of_cells_is_python(attack, kit):
    """An entry that fails because of a slip of ours would prove nothing."""
    made = attack.make(kit)
    if callable(made) or isinstance(made, bytes):
        return
    for cell in made.cells:
        if cell.cell_type == "code":
            source = TransformerManager().transform_cell(cell.source)
            compile(source, attack.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
