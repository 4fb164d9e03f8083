"""The vocabulary: an exercise, what is judged of it, and the mistakes that people make in it."""

import types
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import torch

from autograder.exercises import functions
from autograder.probing import known_state

__all__ = ["Behavior", "Edit", "Exercise", "Finding", "Mistake", "Seen", "Way", "applied", "body", "edits_of", "failed", "make", "passed",
           "run", "wrapped"]

Edit = tuple[str, str]  # (old, new): text of the solution, and what stands in its place
Way = Edit | tuple[Edit, ...] | str  # one edit, several, or text that is put behind the solution


@dataclass(frozen=True)
class Finding:
    """What is said of one behavior: did it hold, and what was seen.

    Arguments:
        behavior: one of the exercise's behaviors.
        passed: whether it holds.
        message: one sentence for the student.
        mistakes: the names of the mistakes that explain it; of one that holds, a remark.
        expected, got: short evidence, as text.
        also: further mistakes that the law itself betrays, whatever explains the rest.
    """

    behavior: str
    passed: bool
    message: str = ""
    mistakes: tuple[str, ...] = ()
    expected: str = ""
    got: str = ""
    also: tuple[str, ...] = ()

    @property
    def misconception(self) -> str | None:
        """The first mistake's name."""
        return self.mistakes[0] if self.mistakes else None


def passed(behavior: str, message: str = "", mistake: str | None = None) -> Finding:
    """A behavior that holds. A `mistake` here is a remark that costs nothing."""
    return Finding(behavior, True, message, (mistake,) if mistake else ())


def failed(behavior: str, message: str, mistake: str | None = None, expected: str = "", got: str = "") -> Finding:
    """A behavior that does not hold; with a mistake's name where the law itself betrays it."""
    return Finding(behavior, False, message, (mistake,) if mistake else (), expected, got)


class Mistake:
    """A mistake with a name: code with words.

    Arguments:
        name: identifier, the same in every report (``snake_case``).
        title: one sentence that names the mistake to the person who made it.
        advice: one or two sentences: why it is wrong and what to do next.
        ways: how to make it from the solution, the plainest first.
    """

    def __init__(self, name: str, title: str, advice: str, *ways: Way):
        self.name, self.title, self.advice, self.ways = name, title, advice, ways


@dataclass(frozen=True)
class Behavior:
    """One thing that is judged.

    Arguments:
        name, points: as on the student's page.
        judge: ``judge(seen) -> finding``: the law, decided without looking at any mistake.
        view: the part of a probe's outputs that it judges; code that gives the same is its explanation. None: nothing to run.
        after: the behavior that this one stands on, or several with blanks between. Where they are all wrong, this one is held against
            the code of the mistake that explains them; where nothing does, it earns nothing.
        own: whether it is judged in terms of what it stands on, as that came. Then a known mistake there costs nothing here.
        sound: whether a mistake's own view earns the points of this behavior.
        rtol, atol: of two views that agree.
    """

    name: str
    points: int
    judge: Callable[["Seen"], Finding]
    view: Callable[[dict[str, Any]], Any] | None = None
    after: str = ""
    own: bool = False
    sound: Callable[[Any], bool] = lambda view: True
    rtol: float = 1e-4
    atol: float = 5e-5


@dataclass(frozen=True)
class Exercise:
    """One exercise, whole.

    Arguments:
        name: ``unit.exercise``, for example ``vae.gaussian_kl``.
        target: the name that the student's object has in the notebook.
        title: what is asked for, in a few words.
        read_on: where the lecture explains it.
        solution: source of the target. preamble: source of what it uses, as the notebook's first cell gives it.
        draw: ``draw(rng) -> inputs``: fresh random inputs from a `torch.Generator`.
        probe: ``probe(student, inputs) -> outputs``: only calls the student's object; plain tensors, numbers and short strings.
        laws: what is judged, in the order of dependence.
        mistakes: those that can be named.
        variants: unusual solutions that are right, by a label: edits of the solution, or a source.
        hints: three levels.
        replay: ``replay(inputs, outputs) -> inputs`` with which other code draws what the student's code drew. An entry "names" of
            what it returns stands in for names that our code uses, such as a distribution that gives recorded draws back.
        brief: ``brief(inputs, outputs) -> (inputs, outputs)``: a small part of what was replayed and of what came, by which most
            mistakes are ruled out before they are run in full; for probes that take long.
        forms: edits that make right solutions with other numbers; mistakes are looked for in each of them, too.
        kinds: keys of the outputs that are judged in turn until one is right; all but the first earn this remark.
        picture: ``picture(ax, inputs, outputs)`` draws what came beside what is right, with `drawing.Sketch`'s methods of matplotlib's
            axes; returns what is to be seen, in words.
        bonus: an optional exercise's: its points are no part of the notebook's sum.
    """

    name: str
    target: str
    title: str
    read_on: str
    solution: str
    draw: Callable[[torch.Generator], dict[str, Any]]
    laws: tuple[Behavior, ...]
    mistakes: tuple[Mistake, ...]
    variants: Mapping[str, Way]
    hints: tuple[str, str, str]
    probe: Callable[[Any, dict[str, Any]], dict[str, Any]] = functions.probe
    preamble: str = ""
    replay: Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]] = lambda inputs, outputs: inputs
    brief: Callable[[dict[str, Any], dict[str, Any]], tuple[dict[str, Any], dict[str, Any]]] = lambda inputs, outputs: (inputs, outputs)
    forms: tuple[tuple[Edit, ...], ...] = ()
    kinds: Mapping[str, str] = field(default_factory=dict)
    picture: Callable[..., str] | None = None
    bonus: bool = False

    @cached_property
    def behaviors(self) -> dict[str, int]:
        """The points of each behavior. A law without points is none: it only helps to judge the others."""
        return {b.name: b.points for b in self.laws if b.points}

    @property
    def max_points(self) -> int:
        return sum(self.behaviors.values())

    def mistake(self, name: str | None) -> Mistake | None:
        return next((m for m in self.mistakes if m.name == name), None)

    def source(self, *ways: Way) -> str:
        """The solution with these changes made."""
        source = self.solution
        for way in ways:
            source = applied(source, way, self.target)
        return source

    def object(self, source: str, names: dict[str, Any] | None = None) -> Any:
        """The target that `source` defines; `names` stand in for names that the source uses."""
        return make(source, self.target, names, self.preamble)


class Seen:
    """What a law sees: the inputs, what came, and what the solution gives in its place.

    Attributes:
        right: the solution's outputs in float64, at the student's own draws where they can be replayed.
    """

    def __init__(self, exercise: Exercise, inputs: dict[str, Any], outputs: dict[str, Any]):
        self.exercise, self.inputs, self.outputs = exercise, inputs, outputs

    @cached_property
    def replayed(self) -> dict[str, Any]:
        """The inputs with which other code draws what the student's code drew."""
        return self.exercise.replay(self.inputs, self.outputs)

    @cached_property
    def right(self) -> dict[str, Any]:
        return run(self.exercise, self.exercise.solution, double(self.replayed))


def run(exercise: Exercise, source: str, inputs: dict[str, Any], seed: int = 0) -> dict[str, Any]:
    """What the probe brings back from code of ours; ``{"trouble": sentence}`` where that raises."""
    try:
        with known_state(seed), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            outputs = exercise.probe(exercise.object(source, inputs.get("names")), inputs)
            return outputs[inputs["kind"]] if exercise.kinds else outputs
    except Exception as error:
        return {"trouble": f"{type(error).__name__}: {error}"}


def double(value: Any) -> Any:
    """Every floating-point tensor in nested values in float64."""
    if isinstance(value, torch.Tensor):
        return value.double() if value.is_floating_point() else value
    if isinstance(value, dict):
        return {k: double(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(double, value))
    return value


def applied(source: str, way: Way, target: str) -> str:
    """`source` with one way to make a mistake, or a variant, followed.

    Raises:
        ValueError: an edit's old text is not there, or makes no difference.
    """
    if isinstance(way, str):
        return f"{source}\n\n{way}".replace("TARGET", target)
    for old, new in edits_of(way):
        if old not in source or old == new:
            raise ValueError(f"The edit of {old!r} does not apply.")
        source = source.replace(old, new)
    return source


def edits_of(way: Way) -> Sequence[Edit]:
    return (way,) if isinstance(way[0], str) else way


def wrapped(expression: str, before: str = "pass") -> str:
    """The way to change what the solution returns, `value`, or what it is given, `given`, whatever the solution is."""
    return (f"def wrap(right):\n    def TARGET(*given):\n        {before}\n        value = right(*given)\n        return {expression}\n\n"
            "    return TARGET\n\n\nTARGET = wrap(TARGET)\n")


@lru_cache(maxsize=4096)
def compiled(source: str) -> types.CodeType:
    return compile(source, "solution.py", "exec")


def make(source: str, target: str, names: dict[str, Any] | None = None, preamble: str = "") -> Any:
    """The object `target` that `source` defines, behind a preamble that is compiled once."""
    module = types.ModuleType("solution")
    exec(compiled(preamble), vars(module))
    exec(compiled(source), vars(module))
    vars(module).update(names or {})
    return vars(module)[target]


def body(solution: str, *lines: str) -> Edit:
    """The edit that gives the solution, a function with a docstring of one line, another body."""
    old = solution.split('"""\n', 1)[1]
    return old, "".join(f"    {line}\n" for line in lines)
