"""The pieces of a solution that are its author's own choice: what is left of code when names, literals and formatting are gone."""

from __future__ import annotations

import ast
import builtins
import copy
import keyword
import re
import warnings
from dataclasses import dataclass, field

__all__ = ["Pieces", "pieces_of"]

GRAM = 4  # tokens in a piece: shorter ones say nothing, longer ones do not survive a small edit
LONGEST, WIDEST, DEEPEST = 20_000, 2_000, 40  # characters of a cell and of a line, open brackets: beyond, no parser is let near it
LEXEME = re.compile(
    r"(?P<string>[rbfuRBFU]{0,2}(?:\"\"\".*?\"\"\"|'''.*?'''|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'))"
    r"|(?P<comment>#[^\n]*)|(?P<number>\d[\w.]*(?:[eE][+-]\d+)?)|(?P<name>[^\W\d]\w*)"
    r"|(?P<operator>\*\*=|//=|>>=|<<=|[-+*/%@&|^=!<>:]=|->|\*\*|//|<<|>>|\S)",
    re.DOTALL,
)
KEPT = set(keyword.kwlist) | set(dir(builtins))
BODIES = ("body", "orelse", "finalbody", "handlers", "cases")


@dataclass
class Pieces:
    """A cell: its pieces, and for each the line of the source that it stands in (to show it to a person)."""

    lines: dict[tuple[str, ...], str] = field(default_factory=dict)
    tokens: int = 0

    def add(self, tokens: list[str], line: str) -> None:
        """One statement. Pieces never reach across statements, so their order does not matter."""
        self.tokens += len(tokens)
        for start in range(max(1, len(tokens) - GRAM + 1)):
            self.lines.setdefault(tuple(tokens[start : start + GRAM]), line)
        if len(tokens) > GRAM:
            self.lines.setdefault(tuple(tokens), line)


def pieces_of(source: str) -> Pieces:
    """Never raises: what is no Python is taken token by token."""
    # IPython's own lines (%magic, !shell) are no Python.
    source = re.sub(r"(?m)^\s*[%!].*$", "", source[:LONGEST].replace("\0", " ").replace("\r", "\n"))
    found = Pieces()
    try:
        statements = list(_statements(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError, AttributeError, TypeError, LookupError):
        statements = list(_raw_lines(source))
    for tokens, line in statements:
        found.add(tokens, line)
    return found


# --- code that parses ----------------------------------------------------------------------------


def _statements(source: str):
    """(tokens, line of the source) of each statement, all that is the author's private matter made alike.

    Raises:
        SyntaxError: this is no Python, or code so deep that a parser might not come back from it.
    """
    depth = 0
    for bracket in re.findall(r"[()\[\]{}]", source):
        depth += 1 if bracket in "([{" else -1
        if depth > DEEPEST:
            raise SyntaxError("nested too deeply")
    if any(len(line) > WIDEST for line in source.split("\n")):
        raise SyntaxError("a line is too long")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a student's invalid escape is no business of the teacher's terminal
        tree = ast.parse(source)
    lines = source.split("\n")
    tree = _Alike(_private_names(tree)).visit(tree)
    for node in ast.walk(tree):
        if isinstance(node, (ast.stmt, ast.excepthandler)):
            line = " ".join(lines[node.lineno - 1].split())
            yield _lex(ast.unparse(_head(node))), line


def _head(node: ast.AST) -> ast.AST:
    """A statement without the statements in it."""
    node = copy.copy(node)
    for name in BODIES:
        if hasattr(node, name):
            setattr(node, name, [])
    return node


def _private_names(tree: ast.AST) -> set[str]:
    """Names of variables, parameters, functions, classes and attributes that this code itself gives."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Store):
            found.add(node.id if isinstance(node, ast.Name) else node.attr)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, (ast.ExceptHandler, ast.alias)):
            found.add(getattr(node, "asname", getattr(node, "name", None)))
    return found


class _Alike(ast.NodeTransformer):
    """Private names become `v`, literals `0` and `""`; docstrings, annotations and imports go."""

    def __init__(self, private: set[str]):
        self.private = private

    def visit_Name(self, node):
        node.id = "v" if node.id in self.private else node.id
        return node

    def visit_Attribute(self, node):
        self.generic_visit(node)
        node.attr = "v" if node.attr in self.private else node.attr
        return node

    def visit_arg(self, node):
        node.arg, node.annotation = "v", None
        return node

    def visit_Constant(self, node):
        if isinstance(node.value, (str, bytes)):
            node.value = ""
        elif isinstance(node.value, (int, float, complex)) and not isinstance(node.value, bool):
            node.value = 0
        node.kind = None
        return node

    def visit_JoinedStr(self, node):
        return ast.copy_location(ast.Constant(""), node)

    def visit_AnnAssign(self, node):
        self.generic_visit(node)
        return ast.copy_location(ast.Assign([node.target], node.value, lineno=node.lineno), node) if node.value else None

    def visit_Expr(self, node):
        self.generic_visit(node)
        return None if isinstance(node.value, ast.Constant) else node  # a docstring, or a comment in quotes

    def visit_FunctionDef(self, node):
        node.returns = None
        node.name = "v"
        self.generic_visit(node)
        return node

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_ClassDef(self, node):
        node.name = "v"
        self.generic_visit(node)
        return node

    def visit_Import(self, node):
        return None

    visit_ImportFrom = visit_Pass = visit_Import


# --- code that does not --------------------------------------------------------------------------


def _raw_lines(source: str):
    """(tokens, line) of each physical line; names that are neither called nor looked into are taken for variables."""
    given = set(re.findall(r"([^\W\d]\w*)\s*=(?!=)|(?:def|class|self\s*\.|as|for)\s*(\w+)", source))
    given = {name for pair in given for name in pair} | {"self"}
    for parameters in re.findall(r"def\s+\w+\s*\(([^\n]*)", source):
        given |= set(re.findall(r"(\w+)\s*[,:=)]", parameters))
    source = re.sub(r'"""(?:[^"\\]|\\.|"(?!""))*"""', "", source)
    for line in source.split("\n"):
        tokens = _lex(line)
        if not tokens or tokens[0] in ("import", "from"):
            continue
        following = [*tokens[1:], ""]
        before = ["", *tokens[:-1]]
        alike = [
            token if not token.isidentifier() or token in KEPT or (token not in given and (then in "(.=" and then or last == ".")) else "v"
            for token, then, last in zip(tokens, following, before)
        ]
        yield alike, " ".join(line.split())


def _lex(text: str) -> list[str]:
    tokens = []
    for match in LEXEME.finditer(text):
        if match.lastgroup in ("string", "number"):
            tokens.append('""' if match.lastgroup == "string" else "0")
        elif match.lastgroup != "comment":
            tokens.append(match.group())
    return tokens
