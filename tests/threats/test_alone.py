"""The honest half as a class of its own, with one job and in the opposite order: each earns what it earns among the attackers.

That is `attack.points`, which test_threats.py demands of it there. The two classes stand in two files, so that two workers can grade them.
"""

import tempfile
from pathlib import Path

import pytest
from corpus.attack import CELLS
from honest_class import HONEST
from threat_class import Classroom, student_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def alone():
    folder = Path(tempfile.mkdtemp(prefix="elbolab-honest-"))
    folder.chmod(0o755)
    classroom = Classroom(folder)
    classroom.hand_in(HONEST)
    students = [student_of(a) for a in HONEST]
    first = classroom.grade(jobs=1, students=sorted(students)[len(students) // 2:])
    second = classroom.grade(jobs=1, students=sorted(students)[:len(students) // 2])
    assert first.code == second.code == 0, first.said[-2000:] + second.said[-2000:]
    yield classroom
    classroom.close()


@pytest.mark.parametrize("attack", HONEST, ids=lambda a: a.name)
def test_honest_ones_earn_the_same_alone(attack, alone):
    assert alone.graded(attack, CELLS).points == attack.points
