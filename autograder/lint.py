"""What the master of a lecture or of an exercise set must have, so that no unit goes out half finished.

Each function returns sentences, one for each thing that is missing; an empty list means that all is well.
"""

import re

__all__ = ["lint_checks", "lint_exercises", "lint_frame"]

EXERCISE = re.compile(r"^#{2,4} (?P<optional>Optional e|E)xercise (?P<label>\w+): \S", re.MULTILINE)
FACTS = re.compile(r"^Difficulty: [●○]{3} · Time: (?P<minutes>\d+) min · Points: (?P<points>\d+)$", re.MULTILINE)
TIME = re.compile(r"^\*\*Time\*\*: (?P<low>\d+)(?: to (?P<high>\d+))? minutes", re.MULTILINE)
CALL = re.compile(r'check\("(?P<name>[\w.]+)", (?P<object>\w+)\)')
MARK = re.compile(r"^- (\d+) marks?: \S", re.MULTILINE)
EXEMPLAR = re.compile(r"^\*\*Exemplar, (\d+) of (\d+)\*\*: \S", re.MULTILINE)
CELL_KINDS = {  # (cell type, grade, solution, locked) -> what it is
    ("code", False, True, False): "solution",
    ("code", True, False, True): "test",
    ("markdown", True, True, False): "answer",
    ("markdown", False, False, True): "question",
}


def lint_checks(folder):
    """What is wrong with the checks.py in this folder: it cannot be used, or judges otherwise than it says."""
    from autograder import own  # what follows loads torch

    unit = next(unit for unit in own.units() if unit.folder.resolve() == folder.resolve())
    if unit.problem:
        return [unit.problem]
    return [f"course/{folder.name}/checks.py: {sentence}" for exercise in unit.exercises for sentence in _lint_promises(exercise, unit)]


def _lint_promises(exercise, unit):
    """The solution and the variants pass; each mistake's code is named, by this check or by another of the same target, and is drawn."""
    from autograder.drawing import CannotDraw, Sketch
    from autograder.verdict import draw_inputs, evaluate

    def said(check, *ways):
        return evaluate(check, check.object(check.source(*ways)), seed=12)

    def named(mistake, way):
        others = [e for e in unit.exercises if e.target == exercise.target and mistake in e.mistakes]
        return any([m.name for m in said(e, way).mistakes] == [mistake.name] for e in others)

    def drawn(way):
        inputs = draw_inputs(exercise, 12)
        try:
            exercise.picture(Sketch(), inputs, exercise.probe(exercise.object(exercise.source(way)), inputs))
        except CannotDraw as error:
            return str(error)
        except Exception:  # there is none, or nothing to be seen: then words do
            pass
        return ""

    try:
        right = {"the solution": (), **{f'the variant "{label}"': (way,) for label, way in exercise.variants.items()}}
        problems = [f"{what} of {exercise.name} does not pass: {verdict.message}"
                    for what, ways in right.items() if not (verdict := said(exercise, *ways)).passed]
        undrawn = {drawn(way) for mistake in exercise.mistakes for way in mistake.ways} - {""}
        problems += [f"{exercise.name}: {sentence}" for sentence in sorted(undrawn)]
        return problems + [f"the code of the mistake {mistake.name} in {exercise.name} is not named by it ({way!r})."
                           for mistake in exercise.mistakes for way in mistake.ways if not named(mistake, way)]
    except Exception as error:  # an edit that does not apply, source that is no Python
        return [f"{exercise.name}: {type(error).__name__}: {error}"]


def lint_exercises(notebook):
    """What an exercise set has besides the frame: sound nbgrader cells, and headings whose sums are right."""
    return _lint_imports(notebook) + _lint_cells(notebook) + _lint_headings(notebook)


def lint_frame(notebook):
    """What every master has: goals, prerequisites and minutes first, further reading last, no magics."""
    problems = []
    markdown = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    first, last = (markdown[0], markdown[-1]) if markdown else ("", "")
    if not 2 <= len(_section(first, r"\*\*Goals\*\*")) <= 6:
        problems.append("the first cell needs a line `**Goals**` with 2 to 6 bullets under it.")
    if not re.search(r"^\*\*Prerequisites\*\*:?", first, re.MULTILINE):
        problems.append("the first cell needs a line `**Prerequisites**: ...`.")
    if not TIME.search(first):
        problems.append("the first cell needs a line `**Time**: A to B minutes`.")
    reading = _section(last, r"#+ Further reading")
    if len(reading) < 2 or not all("](http" in line or "<http" in line for line in reading):
        problems.append("the last text cell needs a heading `## Further reading` and two or more bullets with links.")
    for cell in notebook.cells:
        if cell.cell_type == "code" and re.search(r"^\s*[%!]", cell.source, re.MULTILINE):
            problems.append(f"cell {cell.id} uses a magic or a shell line; a master is plain Python.")
    return problems


def _lint_imports(notebook):
    """What the text tells people to call is there to be called."""
    code, text = ("\n".join(cell.source for cell in notebook.cells if cell.cell_type == kind) for kind in ("code", "markdown"))
    known = re.findall(r"^def (\w+)", code, re.MULTILINE)
    for names in re.findall(r"^from autograder import (.*)", code, re.MULTILINE):
        known += names.split(", ")
    called = [name for name in ("check", "hint", "progress") if re.search(rf"\b{name}\(", code + text)]
    return [f"speaks of {name}(...) and does not import it from autograder." for name in called if name not in known]


def _section(text, heading):
    """The bullets that stand under the line `heading`, up to the next bold line or heading."""
    bullets, inside = [], False
    for line in text.splitlines():
        if re.match(heading, line):
            inside = True
        elif re.match(r"\*\*|#", line):
            inside = False
        elif inside and line.startswith("- "):
            bullets.append(line)
        elif bullets and line.startswith("  "):
            bullets[-1] += line  # a bullet that goes on
    return bullets


def _lint_cells(notebook):
    """Every nbgrader cell is of one of four kinds, has a name of its own, and holds what its kind must hold."""
    problems, names, used, before = [], set(), set(), None
    for cell in notebook.cells:
        if "nbgrader" not in cell.metadata:
            if CALL.search(cell.source) and cell.cell_type == "code":
                problems.append(f"cell {cell.id} calls check() but is no locked test cell.")
            continue
        data = cell.metadata.nbgrader
        kind = CELL_KINDS.get((cell.cell_type, data.get("grade"), data.get("solution"), data.get("locked")))
        name = data.get("grade_id", "")
        where = f"cell {name or cell.id}"
        if kind is None or data.get("schema_version") != 3 or data.get("task"):
            problems.append(f"{where} has nbgrader metadata of no known kind (solution, test, question, answer).")
            continue
        if not re.fullmatch(r"[a-z0-9_]+", name) or name in names:
            problems.append(f"{where}: a grade_id is unique and made of lower-case letters, digits and _.")
        names.add(name)
        problems += [f"{where} {sentence}" for sentence in LINTS[kind](cell, before, used)]
        before = cell
    return problems


def _lint_solution(cell, before, used):
    lines = [line.strip() for line in cell.source.splitlines()]
    begins, ends = lines.count("### BEGIN SOLUTION"), lines.count("### END SOLUTION")
    return [] if begins == ends > 0 else ["needs its solution between ### BEGIN SOLUTION and ### END SOLUTION."]


def _lint_test(cell, before, used):
    call = CALL.fullmatch(cell.source.strip())
    points = cell.metadata.nbgrader.get("points", 0)
    if not call:
        return ['must be one call, check("name", object), and nothing else.']
    if points <= 0:
        return ["needs points above 0."]
    if call["name"] in used:
        return [f"uses the check {call['name']} a second time."]
    used.add(call["name"])
    return _lint_check(call["name"], call["object"], points)


def _lint_check(name, target, points):
    """The check exists, judges that object, gives the cell's points, and has hints in three levels."""
    from autograder import catalogue  # here, because it loads torch, which building notebooks does not need
    from autograder.probing import Trouble

    try:
        check = catalogue.find_check(name)
    except Trouble as error:
        return [f"names no check: {error}"]
    problems = []
    if check.target != target:
        problems.append(f"hands {target} to the check {name}, which judges {check.target}.")
    if check.max_points != points:
        problems.append(f"gives {points} points, its check {name} gives {check.max_points}.")
    if len(check.hints) != 3 or not all(check.hints):
        problems.append(f"uses the check {name}, which lacks hints in three levels.")
    return problems


def _lint_question(cell, before, used):
    marked = "=== BEGIN MARK SCHEME ===" in cell.source and "=== END MARK SCHEME ===" in cell.source
    return [] if marked else ["needs a mark scheme between === BEGIN MARK SCHEME === and === END MARK SCHEME ===."]


def _lint_answer(cell, before, used):
    """The question stands before its answer; its mark scheme adds up and has an exemplar for every mark."""
    points, name = cell.metadata.nbgrader.get("points", 0), cell.metadata.nbgrader.grade_id
    if before is None or before.metadata.nbgrader.grade_id != name.replace("answer_", "question_", 1):
        return [f"needs its locked question cell {name.replace('answer_', 'question_', 1)} right before it."]
    problems, (_, _, scheme) = [], before.source.partition("BEGIN MARK SCHEME")
    if points <= 0 or sum(map(int, MARK.findall(scheme))) != points:
        problems.append(f"gives {points} points; the bullets `- N mark: ...` of its mark scheme must add up to that.")
    if [(int(k), int(n)) for k, n in EXEMPLAR.findall(scheme)] != [(k, points) for k in range(points, -1, -1)]:
        problems.append(f"needs `**Exemplar, k of {points}**: ...` for k = {points} down to 0 in its mark scheme.")
    if not cell.source.strip() or "SOLUTION" in cell.source:
        problems.append("needs a model answer as plain text.")
    return problems


LINTS = {"solution": _lint_solution, "test": _lint_test, "question": _lint_question, "answer": _lint_answer}


def _lint_headings(notebook):
    """Each exercise states difficulty, minutes and points, and the sums are those of the first cell and of nbgrader."""
    problems, exercises, current = [], [], None
    for cell in notebook.cells:
        heading = EXERCISE.search(cell.source) if cell.cell_type == "markdown" else None
        if heading:
            facts = FACTS.search(cell.source)
            current = {"label": heading["label"], "optional": heading["optional"] != "E", "graded": 0,
                       "minutes": int(facts["minutes"]) if facts else 0, "points": int(facts["points"]) if facts else 0}
            exercises.append(current)
            if not facts:
                problems.append(f"exercise {heading['label']} needs `Difficulty: ●●○ · Time: 10 min · Points: 3`.")
        elif cell.cell_type == "markdown" and re.match(r"#{1,2} ", cell.source):
            current = None
        points = cell.metadata.get("nbgrader", {}).get("points", 0)
        if points and current is None:
            problems.append(f"cell {cell.id} gives points but belongs to no exercise.")
        elif points:
            current["graded"] += points
    problems += [f"exercise {e['label']} says {e['points']} points, its cells give {e['graded']}."
                 for e in exercises if e["points"] != e["graded"]]
    return problems + _lint_sums(notebook, exercises)


def _lint_sums(notebook, exercises):
    first = next((cell.source for cell in notebook.cells if cell.cell_type == "markdown"), "")
    problems, total = [], sum(e["graded"] for e in exercises)
    if not exercises:
        problems.append("there is no cell with a heading `### Exercise 1a: ...`.")
    if not re.search(rf"^\*\*Points\*\*: {total}$", first, re.MULTILINE):
        problems.append(f"the first cell needs the line `**Points**: {total}`.")
    if stated := TIME.search(first):
        low, high = int(stated["low"]), int(stated["high"] or stated["low"])
        slack, minutes = (0 if stated["high"] else 0.1 * low), sum(e["minutes"] for e in exercises if not e["optional"])
        if not low - slack <= minutes <= high + slack:
            problems.append(f"the exercises take {minutes} minutes, the first cell says {stated[0].split(': ')[1]}.")
    return problems
