"""The class's page and `elbolab report`: what they count, what they say nothing of, where they write."""

import math
import os
import random
import re
import shutil
from argparse import Namespace
from dataclasses import replace
from html import unescape
from urllib.parse import unquote

import numpy as np
import pytest
from classroom import ANSWERS, CHECKS, NAME, REPOSITORY, SECRET, SEED, UNIT, Course, crowd, executed, invented, note, random_records
from harmless import ATTACKS, assert_harmless, text

from autograder.reports import report
from autograder.reports.charts import Entry, histogram, nice_step
from autograder.reports.classpage import class_page, similarity_section
from autograder.reports.gather import Mark, Marks, complete
from autograder.reports.items import Work, discrimination, mistakes, summaries


def work(name, records=None, **others):
    """A student's work; checks without a record are passed."""
    said = [complete((records or {}).get(c.name) or invented(c)) for c in CHECKS.values()]
    cells = {f"check_{r['check'].split('.')[-1]}": Mark(r["points"], r["max_points"]) for r in said}
    hand = {answer: Mark(2.0, 2.0, by_hand=True) for answer in ANSWERS}
    marks = Marks(name, UNIT, NAME, name=name, cells=cells | hand)
    about = {"pages": [f"../feedback/{name}/{UNIT}/{NAME}.html"], "seconds": 10.0, "sandboxes": ["bubblewrap"]}
    return Work(name, name, [marks], said, **(about | others))


def class_of(number, seed=0, coin=()):
    rng = random.Random(seed)
    return [work(f"s{n:03d}", random_records(rng, rng.gauss(0.4, 1), coin)) for n in range(number)]


def mistake(check, name):
    return next(m for m in CHECKS[check].mistakes if m.name == name)


# --- what it counts ------------------------------------------------------------------------------


def test_failure_rates_and_mistakes_are_counted():
    made = mistake("check_gaussian_log_prob", "missing_half")
    wrong = {"vae.gaussian_log_prob": invented(CHECKS["check_gaussian_log_prob"], made)}
    none = {"vae.gaussian_log_prob": invented(CHECKS["check_gaussian_log_prob"], failing=["value", "extremes", "gradient"])}
    works = [work("a", wrong), work("b", wrong), work("c", none), work("d")]
    check = next(c for c in summaries(works) if c.name == "vae.gaussian_log_prob")
    assert (check.full, check.partial, check.none, check.failure) == (1, 2, 1, 0.75)
    assert check.behaviors == {"value": 3, "extremes": 1, "gradient": 1}
    (common,) = mistakes([check], 5)
    assert (common.title, [w.student for w in common.students]) == (made.title, ["a", "b"])
    said = text(class_page(UNIT, works))
    assert "75 % lose points" in said and made.title in said and made.advice.split("=")[0] in said and "3 of 4 (75 %)" in said


def test_a_mistake_in_two_checks_is_one_mistake_of_one_student():
    both = {n: invented(CHECKS[f"check_{n.split('.')[1]}"], mistake(f"check_{n.split('.')[1]}", "log_variance_for_log_sigma"))
            for n in ("vae.gaussian_rsample", "vae.gaussian_log_prob")}
    (common,) = mistakes(summaries([work("a", both)]), 5)
    assert [name for name, _ in common.checks] == list(both) and len(common.students) == 1


def test_checks_stand_in_the_order_of_the_notebook():
    assert [c.name for c in summaries(class_of(3))] == [c.name for c in CHECKS.values()]


def test_the_numbers_at_the_top():
    waiting = work("b")
    waiting = replace(waiting, marks=[replace(waiting.marks[0], cells=dict(waiting.marks[0].cells) | {ANSWERS[0]: Mark(None, 2.0, True)})])
    said = text(class_page(UNIT, [work("a"), waiting, work("c", problems=["Cell 7 ran longer than 120 s and was stopped."])], ["zoe"]))
    for words in ("3 graded", "1 handed in, not graded", "1 with answers to mark", "59 median total so far", "1 ran into problems", "Not graded: zoe"):
        assert words in said
    assert "Answers in words are left out here" in said, "a total with blanks in it is no distribution of totals"


def test_notes_are_told_apart_and_are_no_verdict():
    works = [work("a", notes=[note("copied", True, "An accident.")]), work("b", notes=[note("edited", False, "Have a look.")])]
    page = class_page(UNIT, works)
    look, accidents = page.split("For a person to look at")[1].split("Accidents that happen to anyone")
    assert "Have a look." in look and "An accident." not in look and "An accident." in accidents.split("</section>")[0]
    assert not re.search("cheat|fraud|plagiar|suspect", page, re.IGNORECASE)


def test_no_sandbox_is_said_loudly_and_an_unknown_one_quietly():
    assert 'role="alert"' not in class_page(UNIT, [work("a")]) and "All submissions ran in a sandbox" in text(class_page(UNIT, [work("a")]))
    assert "1 of 2 submissions ran without a sandbox" in text(class_page(UNIT, [work("a"), work("b", sandboxes=["none"])]).split('role="alert"')[1])
    assert "do not say whether they ran in a sandbox" in text(class_page(UNIT, [work("a", sandboxes=[])]))


def test_the_table_is_there_in_both_orders():
    works = [work("Zoe"), work("Adam", {"vae.elbo": invented(CHECKS["check_elbo"], failing=list(CHECKS["check_elbo"].behaviors))})]
    tables = class_page(UNIT, works).split('<table class="students">')[1:]
    orders = [re.findall(r"<bdi>(\w+)</bdi>", t.split("</table>")[0]) for t in tables]
    assert orders == [["Adam", "Zoe"], ["Zoe", "Adam"]]


def test_an_anonymous_page_names_nobody():
    works = [work(f"Quetzalcoatl{n}", random_records(random.Random(n), 0), notes=[note()], problems=[f"Quetzalcoatl{n} failed"]) for n in range(25)]
    pairs = [{"a": "Quetzalcoatl1", "b": "Quetzalcoatl2", "score": 0.9, "expected": 0.5, "cells": []}]
    page = class_page(UNIT, works, ["Quetzalcoatl99"], pairs, anonymous=True)
    assert "Quetzalcoatl" not in page and SECRET not in page and "25 graded" in text(page)


def test_an_empty_class_says_what_to_do():
    page = class_page(UNIT, [], ["zoe"])
    assert_harmless(page)
    assert f"elbolab grade {UNIT}" in page


# --- items that do not discriminate --------------------------------------------------------------


def test_correlation_is_that_of_passing_with_the_points_of_the_other_checks():
    works = class_of(60, coin=("vae.score_gradient",))
    _, _, weak = discrimination(works)
    item = next(i for i in weak if i.check == "vae.score_gradient")
    counted = [w for w in works if any(r["points"] for r in w.records)]
    record = [next(r for r in w.records if r["check"] == item.check) for w in counted]
    passed = [next(f["passed"] for f in r["findings"] if f["behavior"] == item.behavior) for r in record]
    rest = [sum(r["points"] for r in w.records) - own["points"] for w, own in zip(counted, record)]
    assert item.r == pytest.approx(np.corrcoef(np.array(passed, float), rest)[0, 1])
    margin = 1.959964 / math.sqrt(len(rest) - 3)
    assert (item.low, item.high) == pytest.approx((math.tanh(math.atanh(item.r) - margin), math.tanh(math.atanh(item.r) + margin)))
    assert (item.number, item.right) == (len(rest), sum(passed))


def test_a_coin_is_found_and_telling_items_are_not():
    for seed in range(4):
        _, looked_at, weak = discrimination(class_of(400, seed, coin=("vae.score_gradient",)))
        assert {i.behavior for i in weak if i.check == "vae.score_gradient"} == {"unbiased", "estimator"}
        assert looked_at > 30 and len(weak) <= 2 + 4, "the rest tell, but for a few that hardly anybody gets wrong"


def test_small_classes_are_told_nothing_and_empty_notebooks_do_not_count():
    assert discrimination(class_of(19))[1:] == (0, [])
    said = text(class_page(UNIT, class_of(8)))
    assert "Nothing can be said with 8 students: it takes 20." in said
    blank = {c.name: invented(c, failing=list(c.behaviors)) for c in CHECKS.values()}
    works = class_of(30)
    assert discrimination([*works, *(work(f"blank{n}", blank) for n in range(20))]) == discrimination(works)


def test_items_that_all_get_right_are_left_out():
    assert discrimination([work(f"s{n}") for n in range(40)]) == (40, 0, [])


# --- pictures ------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 7, 60, 900])
@pytest.mark.parametrize("high", [41.0, None])
def test_every_student_is_in_the_histogram_once(number, high):
    rng = random.Random(number)
    values = [float(rng.randrange(42)) for _ in range(number)] if high else [rng.expovariate(0.1) for _ in range(number)] + [500.0]
    chart = str(histogram([Entry(v, f"n{i}", "../x.html") for i, v in enumerate(values)], high, "points", "what"))
    for drawing in chart.split("<svg")[1:]:
        counts = [int(n) for n in re.findall(r'class="count"[^>]*>(\d+)<', drawing)]
        assert sum(counts) == len(values)
        squares = drawing.count("<title>")
        assert squares in (0, len(values))
        tops = [float(y) for y in re.findall(r'<rect class="unit"[^>]* y="([-\d.]+)"', drawing)]
        assert min(tops) >= 33


@pytest.mark.parametrize("span", [0.003, 1, 9, 41, 59, 100, 12345.6])
@pytest.mark.parametrize("most", [9, 22])
def test_steps_are_round_and_few(span, most):
    step = nice_step(span, most)
    assert span / step <= most * (1 + 1e-9) and float(f"{step:.0e}"[0]) in (1, 2, 5)
    assert span / step > most / 2.6, "not coarser than needed"


# --- safe ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("attack", ATTACKS, ids=range(len(ATTACKS)))
def test_attacks_are_text(attack):
    record = invented(CHECKS["check_elbo"], failing=["elbo"]) | dict.fromkeys(("check", "title", "misconception", "misconception_title", "advice", "read_on"), attack)
    record["findings"][0]["behavior"] = attack
    one = work(attack, {"vae.elbo": record}, problems=[attack], notes=[note(sentence=attack), note(attack, False, attack)], sandboxes=[attack], pages=["../x"])
    pairs = [{"a": attack, "b": "b", "score": 0.9, "expected": 0.005, "cells": [{"cell": attack, "score": 1.0, "common": attack}]}]
    for anonymous in (False, True):
        assert_harmless(class_page(attack, [one, *class_of(21)], [attack], pairs, anonymous))


def test_similar_pairs_are_a_list_to_look_at():
    cells = [{"cell": "gaussian", "score": 0.8, "common": "z = <odd> + 1"}]
    pairs = [{"a": "p", "b": "q", "score": 0.9, "expected": 0.0, "cells": []}, {"a": "x", "b": "y", "score": 0.7, "expected": 0.004, "cells": cells}]
    section = str(similarity_section(pairs, {"x": ("Xenia", "../feedback/x.html")}))
    assert '<a href="../feedback/x.html"><bdi>Xenia</bdi></a>' in section and "never a verdict" in section and "z = &lt;odd&gt; + 1" in section
    assert "in one of 250 classes" in section and "in less than one of 1,000,000 classes" in section
    assert section.index("<bdi>p</bdi>") < section.index("Xenia"), "the order that it is given"
    assert "No two submissions" in similarity_section([]) and "Too few." in similarity_section("Too few.")


# --- the command ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    course = Course(tmp_path_factory.mktemp("report") / "a course [1]")
    crowd(course, 11)
    course.hand_in("o'brien & <b>", executed(), first_name="<script>alert(1)</script>")
    course.hand_in("zoe", graded=False)
    beside = course.root / "autograded" / "s1000" / UNIT
    (beside / "timestamp.txt").write_text("2024-05-03 12:30:00 UTC")
    (beside / "evil.html").write_text("<script>alert(1)</script>")
    return course


def run(course, assignment=None, students=None, **others):
    return report.run(Namespace(assignment=assignment, students=students, **others), course.root)


def test_report_writes_every_page_and_says_where(course, capsys):
    assert run(course) == 0
    assert capsys.readouterr().out.splitlines() == [f"12 feedback pages: feedback/STUDENT/{UNIT}/", f"Class page: reports/{UNIT}.html"]
    page = (course.root / "reports" / f"{UNIT}.html").read_text(encoding="utf-8")
    assert_harmless(page)
    assert "12 graded" in text(page) and "Not graded: zoe" in text(page) and str(SEED) not in page
    links = set(re.findall(r'href="(\.\./[^"]*)"', page))
    assert len(links) == 12
    for link in links:
        feedback = course.root / "reports" / unquote(unescape(link))
        assert_harmless(feedback.read_text(encoding="utf-8"))
        assert SECRET not in feedback.read_text(encoding="utf-8")
    assert not [p for p in course.root.rglob(".*") if p.name.startswith(f".{NAME}")], "no drafts are left"


def test_only_what_nbgrader_needs_is_put_beside_a_page(course):
    assert run(course, UNIT, "s1000") == 0
    assert sorted(os.listdir(course.root / "feedback" / "s1000" / UNIT)) == [f"{NAME}.html", "timestamp.txt"]


def test_some_students_pages_and_the_whole_class(course, capsys):
    other = course.root / "feedback" / "s1002" / UNIT / f"{NAME}.html"
    assert run(course) == 0
    other.write_text("kept")
    assert run(course, UNIT, "s1000, s1001") == 0 and other.read_text() == "kept"
    assert "2 feedback pages" in capsys.readouterr().out
    assert "12 graded" in text((course.root / "reports" / f"{UNIT}.html").read_text(encoding="utf-8"))
    assert run(course, UNIT, "s1000,nobody") == 2
    assert "nobody" in capsys.readouterr().err


def test_submissions_are_compared_with_each_other_and_the_release(course, monkeypatch):
    from autograder.reports import similarity

    def compare(answers, released, solved):
        assert len(answers) == 12 and set(released) == set(solved) == set(answers["s1004"])
        assert "NotImplementedError" in released["gaussian_kl"] and "NotImplementedError" not in answers["s1004"]["gaussian_kl"]
        return [{"a": "s1004", "b": "s1005", "score": 0.9, "expected": 0.001, "cells": [{"cell": "gaussian_kl", "score": 1.0, "common": "x = 1"}]}]

    monkeypatch.setattr(similarity, "similar_pairs", compare)
    page = course.root / "reports" / f"{UNIT}.html"
    assert run(course) == 0 and "Submissions were not compared" in page.read_text(encoding="utf-8")
    for step in ("assignments", "solutions"):
        shutil.copytree(REPOSITORY / step / UNIT, course.root / step / UNIT)
    assert run(course) == 0
    assert_harmless(page.read_text(encoding="utf-8"))
    section = page.read_text(encoding="utf-8").split('id="similar"')[1].split("</section>")[0]
    assert re.findall(r"s10\d\d", section) == ["s1004", "s1005"] and "in one of 1,000 classes" in section and "x = 1" in section


def test_anonymous_from_the_command_line(course):
    assert run(course, UNIT, anonymous=True) == 0
    assert "Andersson" not in (course.root / "reports" / f"{UNIT}.html").read_text(encoding="utf-8")


def test_nothing_graded_says_what_to_do(tmp_path, course, capsys):
    assert run(course, "02_flows") == 2
    said = capsys.readouterr().err
    assert "Run `elbolab grade 02_flows` first." in said and UNIT in said
    empty = Course(tmp_path / "empty")
    empty.hand_in("zoe", graded=False)
    assert run(empty) == 2 and "elbolab grade" in capsys.readouterr().err
    (empty.root / "gradebook.db").unlink()
    assert run(empty) == 2 and "There is no gradebook" in capsys.readouterr().err
    assert not (empty.root / "reports").exists() and not (empty.root / "gradebook.db").exists()


def test_one_broken_notebook_costs_nobody_else_a_page(course, capsys):
    file = course.root / "autograded" / "s1003" / UNIT / f"{NAME}.ipynb"
    before = file.read_bytes()
    for broken in (b"{", b"[]", b'{"cells": 3}', b'{"cells": [3, {"cell_type": "code", "metadata": 7, "outputs": [1]}], "metadata": []}', b"\xff"):
        file.write_bytes(broken)
        assert run(course) == 0
        assert "12 feedback pages" in capsys.readouterr().out
    file.write_bytes(before)
