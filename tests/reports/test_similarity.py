"""Copies are found through every disguise, and classes of independent students list nobody more often than stated."""

import ast
import json
import random
import time
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from autograder.reports.pieces import pieces_of
from autograder.reports.similarity import FEWEST, answers_of, similar_pairs, too_few

# For each exercise of unit 01 the forms that people write it in: ours, unusual right ones, mistakes. They are kept, so that what the
# tests state of a made-up class does not change with the exercises.
KEPT = json.loads((Path(__file__).parent / "forms.json").read_text(encoding="utf-8"))
SOLUTIONS, FORMS = KEPT["solutions"], KEPT["forms"]
RELEASED = {target: f"# YOUR CODE HERE\n{source.splitlines()[0]}\n    raise NotImplementedError\n" for target, source in SOLUTIONS.items()}
TABLES = ("depth", "latents", "beta_sweep", "classes")


def table_answer(rng):
    """A loop that collects rows, as one of hundreds of ways to write it."""
    model = rng.choice(["VariationalAutoencoder(IMAGE, n)", "VariationalAutoencoder(latent_features=n, input_shape=IMAGE)", "YourVAE(IMAGE, n)"])
    measure = rng.choice(["train_and_measure(model)", "train_and_measure(model, beta=1)", "dict(train_and_measure(model))", "evaluate_all(model, digits)"])
    means = rng.choice(["model.posterior(x).mean", "model.posterior(x)[0]", "model.encoder(x.flatten(1)).chunk(2, -1)[0]"])
    active = rng.choice(["(m.var(0) > 0.01).sum().item()", "int(torch.var(m, dim=0).gt(0.01).sum())", "sum(v > 0.01 for v in m.var(dim=0))"])
    row = rng.choice(["{'latents': n, **r, 'active_units': a}", "{**r, 'latents': n, 'active_units': a}", "dict(r, latents=n, active_units=a)"])
    collect = rng.choice(["rows.append(ROW)", "rows += [ROW]", "rows = rows + [ROW]", "table = pd.concat([table, pd.DataFrame([ROW])])"])
    guard = rng.choice(["with torch.no_grad():\n        m = MEANS", "m = MEANS.detach()", "torch.set_grad_enabled(False)\n    m = MEANS\n    torch.set_grad_enabled(True)"])
    extra = rng.choice(["", "    print(n, r['elbo'])\n", "    print(f'{n}: {r}')\n", "    torch.manual_seed(n)\n", "    assert 'elbo' in r, r\n"])
    loop = rng.choice(["for n in (1, 2, 10, 20):", "for n in [1, 2, 5, 10, 20]:", "for i, n in enumerate([1, 2, 10, 20]):", "for n in range(1, 21, 4):"])
    text = f"rows, table = [], None\n{loop}\n    model = {model}\n    r = {measure}\n    x = digits.validation.images\n    {guard}\n    a = {active}\n{extra}    {collect}\nresults = table if table is not None else pd.DataFrame(rows)\n"
    return text.replace("ROW", row).replace("MEANS", means)


def honest_class(number, seed):
    """Students who never met: each exercise in a form drawn for itself."""
    rng = random.Random(seed)
    return {
        f"s{index:03d}": {target: rng.choice(forms) for target, forms in FORMS.items()} | {name: table_answer(rng) for name in TABLES}
        for index in range(number)
    }


def class_with_habits(number, seed):
    """As honest_class, but all loops of a student are in the style of that student, shared with a few others."""
    answers = honest_class(number, seed)
    for index, cells in enumerate(answers.values()):
        for name in TABLES:
            cells[name] = table_answer(random.Random(1000 * seed + index % (number // 2)))
    return answers


def disguised(source, rng):
    """The same code with other names, other formatting, comments, docstrings, and its statements and methods in another order."""
    tree = ast.parse(source)
    given = {"self", "rsample", "log_prob", "forward", "mu", "sigma"}
    own = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)} - given
    own |= {n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)} - given
    names = {name: f"my_{index}" for index, name in enumerate(sorted(own))}

    class Rename(ast.NodeTransformer):
        def visit_Name(self, node):
            node.id = names.get(node.id, node.id)
            return node

        def visit_arg(self, node):
            node.arg = names.get(node.arg, node.arg)
            return node

        def visit_ClassDef(self, node):
            self.generic_visit(node)
            rng.shuffle(node.body)
            return node

        def visit_FunctionDef(self, node):
            self.generic_visit(node)
            if len(node.body) > 3:
                node.body[1], node.body[2] = node.body[2], node.body[1]
            node.body.insert(0, ast.Expr(ast.Constant("What this does.")))
            return node

    text = ast.unparse(ast.fix_missing_locations(Rename().visit(tree)))
    return "# my own work\n\n" + text.replace(", ", ",").replace(" = ", "=").replace("\n", "  # step\n")


def planted(answers, cells, seed=0):
    """`answers` where s007 has these cells from s003, disguised."""
    rng = random.Random(seed)
    return answers | {"s007": answers["s007"] | {cell: disguised(answers["s003"][cell], rng) for cell in cells}}


def listed(pairs):
    return [(pair["a"], pair["b"]) for pair in pairs]


# What nobody else would write.
ODD = {
    "gaussian_kl": """\
def gaussian_kl(mu_q, log_sigma_q, mu_p, log_sigma_p):
    pieces = []
    for m, s, n, t in zip(mu_q.unbind(1), log_sigma_q.unbind(1), mu_p.unbind(1), log_sigma_p.unbind(1)):
        pieces.append((t - s) + torch.exp(s * 2).add((m - n).square()).div(torch.exp(t * 2)).mul(0.25) - 0.5)
    return torch.stack(pieces, dim=-1).cumsum(dim=-1)[:, -1]
""",
    "bernoulli_log_likelihood": """\
def bernoulli_log_likelihood(logits, x):
    flat, target = logits.reshape(len(logits), -1), x.reshape(len(x), -1)
    signs = torch.ones_like(target).masked_fill(target < 0.5, -1.0)
    return -torch.logaddexp(torch.zeros_like(flat), -signs * flat).mean(1) * flat.shape[1]
""",
    "latents": """\
columns = collections.defaultdict(list)
while len(columns['latents']) < 5:
    size = 2 ** len(columns['latents'])
    net = VariationalAutoencoder(IMAGE, latent_features=size).eval()
    [columns[key].append(value) for key, value in sorted(train_and_measure(net).items())]
    columns['active_units'].append(torch.count_nonzero(net.posterior(digits.validation.images).mean.std(0) ** 2 > 1e-2))
    columns['latents'].append(size)
latent_results = pd.DataFrame.from_dict(columns).set_index('latents', drop=False)
""",
}


# --- honest classes ------------------------------------------------------------------------------


@pytest.mark.parametrize("make", (honest_class, class_with_habits))
def test_false_alarms_are_as_rare_as_stated(make):
    # Measured on 295 classes of 10 to 60 students of each kind: a pair with `expected` <= 0.2 in 18 %, <= 0.01 in 1.4 % and 2 %.
    lowest = [min((p["expected"] for p in similar_pairs(make(15, seed), RELEASED, SOLUTIONS, 1.0)), default=1.0) for seed in range(40)]
    assert sum(value <= 0.2 for value in lowest) <= 18  # four standard deviations above a fifth
    assert sum(value <= 0.01 for value in lowest) <= 3


def test_canonical_answers_are_no_evidence():
    everyone = {f"s{index:03d}": dict(SOLUTIONS) for index in range(20)}
    assert similar_pairs(everyone, RELEASED, None) == []
    few = honest_class(20, 1) | {"s003": dict(SOLUTIONS), "s007": dict(SOLUTIONS)}
    assert ("s003", "s007") not in listed(similar_pairs(few, RELEASED, SOLUTIONS))


def test_short_answers_are_no_evidence():
    answers = {f"s{index:03d}": {f"c{cell}": f"x = {index} + {'+'.join('abcdef'[:(index + cell) % 5 + 1])}" for cell in range(10)} for index in range(20)}
    answers["s003"] = answers["s007"] = {f"c{cell}": "y = sin(q) / 3" for cell in range(10)}
    assert similar_pairs(answers, {}) == []


def test_what_the_release_gives_is_no_evidence():
    answers = honest_class(30, 2)
    answers["s003"] |= ODD
    answers["s007"] |= ODD
    assert listed(similar_pairs(answers, RELEASED)) == [("s003", "s007")]
    assert listed(similar_pairs(answers, RELEASED | ODD)) == []


def test_small_classes_say_that_they_are_too_small():
    answers = planted(honest_class(FEWEST, 0), [*FORMS, *TABLES])
    assert too_few(answers) is None
    del answers["s000"]
    assert str(FEWEST - 1) in too_few(answers)
    assert similar_pairs(answers, RELEASED) == []


# --- copies --------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", (12, 30))
def test_disguised_copies_are_found(number):
    found, alone = 0, 0
    for seed in range(10):
        pairs = listed(similar_pairs(planted(honest_class(number, seed), [*FORMS, *TABLES], seed), RELEASED, SOLUTIONS))
        found += ("s003", "s007") in pairs
        alone += pairs in ([], [("s003", "s007")])
    assert found >= 9 and alone >= 9


def test_odd_code_in_three_of_ten_exercises_is_found():
    found = 0
    for seed in range(10):
        answers = honest_class(30, seed)
        answers["s003"] |= ODD
        found += ("s003", "s007") in listed(similar_pairs(planted(answers, ODD, seed), RELEASED, SOLUTIONS))
    assert found >= 9


def test_the_entry_says_where_and_what():
    (pair, *_) = similar_pairs(planted(honest_class(30, 5), TABLES), RELEASED, SOLUTIONS)
    assert (pair["a"], pair["b"]) == ("s003", "s007")
    assert 0 < pair["expected"] <= 0.01 and 0.9 <= pair["score"] <= 1.0
    assert set(TABLES) <= {cell["cell"] for cell in pair["cells"]}
    for cell in pair["cells"]:
        lines = cell["common"].split("\n")
        assert 0 <= cell["score"] <= 1 and 1 <= len(lines) <= 3 and all(len(line) <= 100 for line in lines)


def test_a_copy_that_no_longer_parses_is_found():
    answers = planted(honest_class(30, 6), [*FORMS, *TABLES])
    answers["s007"] = {cell: source.replace("#", ")\n#", 1) + "\nif (" for cell, source in answers["s003"].items()}
    with pytest.raises(SyntaxError):
        ast.parse(answers["s007"]["depth"])
    assert ("s003", "s007") in listed(similar_pairs(answers, RELEASED, SOLUTIONS))


def test_order_of_students_and_cells_does_not_matter():
    answers = planted(honest_class(12, 3), [*FORMS, *TABLES])
    turned = {student: dict(reversed(cells.items())) for student, cells in reversed(answers.items())}
    assert similar_pairs(answers, RELEASED, SOLUTIONS) == similar_pairs(turned, RELEASED, SOLUTIONS)


# --- pieces, junk, speed -------------------------------------------------------------------------


def test_names_literals_comments_and_order_leave_the_same_pieces():
    one = 'def f(a, b):\n    """Doc."""\n    total = a * 2 + math.sin(b)\n    other = torch.exp(total) / 3\n    return other\n'
    two = "def g(x: Tensor, y: Tensor) -> Tensor:\n    # comment\n    v = (torch.exp(\n        w) / 7.5)\n    w = x * 9 + math.sin(y)\n    return v\n"
    one, two = pieces_of(one).lines.keys(), pieces_of(two).lines.keys()
    assert one and one == two
    assert one != pieces_of("def f(a, b):\n    return torch.log(a * 2) - math.cos(b) ** 3\n").lines.keys()


JUNK = (
    "", "\0\0", "\ud800", "((((" * 400, "-" * 30_000, "x" + ".a" * 9_000, "\\\n".join(["-"] * 9_000), "not " * 4_000, "'''", "f'{" * 500,
    "%%bash\nrm", "!ls\n%time f(x)", "\n".join(" " * i + "if 1:" for i in range(90)), "lambda:" * 2_500, "\\\n".join(["2**"] * 4_000) + "1",
    "é = 'ß' ; ☃", "\t\tx\n y", "a\rb\r\nc", "\x0c\nx = 1\n\x0cy = 2", "def f(\n", "match x:\n  case [1, *_]: pass", "print 'old'",
)


def test_junk_never_raises():
    for source in JUNK:
        pieces_of(source)
    answers = honest_class(15, 4)
    for student, source in zip(answers, JUNK):
        answers[student] = {cell: source for cell in answers[student]}
    answers["empty"] = {}
    similar_pairs(answers, {"depth": "((("}, {"depth": "\0"}, at_most=1.0)


def test_a_large_class_takes_seconds():
    answers, begun = planted(honest_class(300, 9), [*FORMS, *TABLES]), time.process_time()
    pairs = similar_pairs(answers, RELEASED, SOLUTIONS)
    assert time.process_time() - begun < 40  # about four; comparing texts pair by pair would take hours
    assert ("s003", "s007") in listed(pairs)


def test_answers_are_the_code_cells_that_students_write():
    def cell(make, name, **info):
        return make(f"# {name}", metadata={"nbgrader": {"grade_id": name, **info}})

    notebook = new_notebook(
        cells=[
            new_code_cell("import torch"),
            cell(new_code_cell, "depth", solution=True, grade=False),
            cell(new_code_cell, "check_depth", solution=False, grade=True),
            cell(new_markdown_cell, "answer_depth", solution=True, grade=True),
        ]
    )
    assert answers_of(nbformat.from_dict(notebook)) == {"depth": "# depth"}
