"""Test code looked at before it runs: its tests, and which names are the program's to define.

Names that the tests define themselves, or take from their imports, their set-up or the prompt, are
the tests' own, whatever the program defines.
"""

from __future__ import annotations

import ast
import builtins
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from .source import bound_names, is_stub

PASSED, FAILED = "__rewardplane_passed__", "__rewardplane_failed__"
PROGRAM_MODULES = frozenset({"solution", "program", "main", "your_module", "candidate_solution"})
"""By these names test code imports what it tests."""
_ALIASES = {"np": "numpy", "pd": "pandas", "plt": "matplotlib.pyplot"}


@dataclass
class Unit:
    """One test: code, and what of it is run."""

    code: Any
    asserts: int
    """How many assert statements there are that say something of the program."""
    entry: tuple[str, ...] = ()
    """A test function of pytest's kind, or a class of unittest and one of its methods; empty: all
    that stands at the top level."""
    read: frozenset[str] = frozenset()
    """Names that it reads itself."""
    tested: frozenset[str] = frozenset()
    """Those that a test function's own assertions read."""


@dataclass
class Plan:
    """All that is known before anything runs."""

    units: list[Unit]
    places: list[int]
    """Of each, where it stands in the data set."""
    setup: Any
    prompt: Any
    """None: the prompt is no Python, or empty."""
    wanted: list[str]
    """Names that are the program's to define."""
    imports: dict[str, str] = field(default_factory=dict[str, str])
    """Names used as modules and imported nowhere, with the module each must be."""
    constants: list[str] = field(default_factory=list[str])
    """Those of the wanted that nothing calls: values, if they are not classes."""
    shared: list[str] = field(default_factory=list[str])
    """Classes that the prompt defines: the program has them too."""


def plan(order: dict[str, Any]) -> Plan:
    """Reads an order of `asserts`. Raises SyntaxError, ValueError: it is no Python."""
    texts: list[str] = order["cases"]
    trees = [_parsed(text) for text in texts]
    places = list(range(len(trees)))
    if len(trees) > 1:
        if _stand_alone(trees):  # in an order that does not follow from how they are listed
            places.sort(key=lambda i: (len(texts[i]), texts[i]))
            trees = [trees[i] for i in places]
        else:
            trees = [ast.Module([node for tree in trees for node in tree.body], [])]
    setup = _parsed(order["setup"])
    prompt = _prompt(order["prompt"])
    entry: str = order["entry_point"]
    own = {name for tree in (*trees, setup) for name in _bound_anywhere(tree)}
    own -= _imported_of_program((*trees, setup))
    entry_name = entry.partition(".")[0].removesuffix("()")
    classes: list[str] = []
    for name, node in dict(bound_names(prompt.body) if prompt is not None else ()).items():
        if is_stub(node) or name == entry_name:
            continue
        if isinstance(node, ast.ClassDef):
            if _is_unfinished(node):
                continue
            classes.append(name)
        own.add(name)
    read, modules = _names_read((*trees, setup))
    free = [name for name in read if name not in own]
    wanted = [name for name in free if not hasattr(builtins, name) and name not in modules]
    if not wanted and not entry_name:
        wanted = _tested_builtins(trees, free)
    if entry_name:
        wanted = [entry_name, *(name for name in wanted if name != entry_name)]
    units: list[Unit] = []
    numbers: list[int] = []
    for place, tree in zip(places, trees, strict=False):
        made = list(_units(tree))
        units += made
        numbers += [place] * len(made) if len(trees) > 1 else range(len(made))
    return Plan(
        units,
        numbers,
        _code(setup),
        None if prompt is None else _code(prompt),
        wanted,
        {name: modules[name] for name in free if name in modules},
        [name for name in wanted if name not in _called((*trees, setup)) and name != entry_name],
        classes,
    )


def _parsed(text: str) -> ast.Module:
    return ast.parse(text, "<tests>")


def _code(tree: ast.Module) -> Any:
    return compile(ast.fix_missing_locations(tree), "<tests>", "exec", dont_inherit=True)


def _prompt(text: str) -> ast.Module | None:
    """The prompt as a program: it may end amid a function."""
    for whole in (text, f"{text}\n    pass\n"):
        try:
            tree = ast.parse(whole, "<prompt>")
            _code(tree)
        except (SyntaxError, ValueError):
            continue
        return tree
    return None


def _is_unfinished(node: ast.ClassDef) -> bool:
    """A class with a method that does nothing yet is the program's to write."""
    return any(is_stub(part) for part in node.body)


def _stand_alone(trees: Sequence[ast.Module]) -> bool:
    """Whether each has an assert statement, and none builds on what another defines."""
    bound = [set(dict(bound_names(tree.body))) for tree in trees]
    for index, tree in enumerate(trees):
        if not any(isinstance(node, ast.Assert) for node in ast.walk(tree)):
            return False
        read = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)} - bound[index]
        if any(read & names for i, names in enumerate(bound) if i != index):
            return False
    return True


def _bound_anywhere(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
                yield name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.ClassDef(name=name):
                yield name
            case ast.ExceptHandler(name=str(name)):
                yield name
            case ast.Import() | ast.ImportFrom():
                for alias in node.names:
                    yield alias.asname or alias.name.partition(".")[0]
            case _:
                pass


def _imported_of_program(trees: Sequence[ast.Module]) -> set[str]:
    """Takes out imports of the program itself; the names that they bind are the program's."""
    found: set[str] = set()

    class Imports(ast.NodeTransformer):
        def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
            if node.module not in PROGRAM_MODULES or node.level:
                return node
            found.update(alias.name for alias in node.names if alias.name != "*")
            renamed = [
                ast.Assign([ast.Name(a.asname, ast.Store())], ast.Name(a.name, ast.Load()))
                for a in node.names
                if a.asname
            ]
            return ast.copy_location(
                ast.If(ast.Constant(value=True), [*renamed, ast.Pass()], []), node
            )

    for tree in trees:
        Imports().visit(tree)
        ast.fix_missing_locations(tree)
    return found


def _names_read(trees: Sequence[ast.Module]) -> tuple[list[str], dict[str, str]]:
    """Names that are read, in their order, and of these the ones that can only be modules."""
    read: dict[str, None] = {}
    owners: set[str] = set()
    bare: set[str] = set()
    for tree in trees:
        for node in ast.walk(tree):
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Load):
                    read[child.id] = None
                    (owners if isinstance(node, ast.Attribute) else bare).add(child.id)
    modules = {
        name: _ALIASES.get(name, name)
        for name in owners - bare
        if name in _ALIASES or name in sys.stdlib_module_names
    }
    return list(read), modules


def _tested_builtins(trees: Sequence[ast.Module], free: Sequence[str]) -> list[str]:
    """The one name of Python's own that a program may bring: MBPP has `sum`, defined anew.

    Only where the tests call nothing else; else a program could bring the `abs` they judge it by.
    """
    asserts = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Assert)]
    called = _called(asserts)
    named = [name for name in free if name in called]
    return named if len(named) == 1 else []


def _called(nodes: Sequence[ast.AST]) -> set[str]:
    return {
        node.func.id
        for top in nodes
        for node in ast.walk(top)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }


def _read_in(node: ast.AST) -> frozenset[str]:
    return frozenset(n.id for n in ast.walk(node) if isinstance(n, ast.Name))


def _is_assertion(node: ast.AST) -> bool:
    """Whether it is an assert statement, or a call of unittest's."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.attr.startswith("assert")
    return isinstance(node, ast.Assert)


def _units(tree: ast.Module) -> Iterator[Unit]:
    """The tests in a piece of code: pytest's functions and unittest's methods are one each."""
    functions = [
        n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name.startswith("test")
    ]
    read = _read_in(tree)
    entries = [((n.name,), n) for n in functions if n.name not in read]
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and any("TestCase" in ast.dump(b) for b in node.bases):
            methods = [n for n in node.body if isinstance(n, ast.FunctionDef)]
            tests = [n for n in methods if n.name.startswith("test")]
            entries += [((node.name, n.name), n) for n in tests]
    if not entries:
        transformer = _Asserts()
        code = _code(cast("ast.Module", transformer.visit(tree)))
        yield Unit(code, transformer.count, (), read)
        return
    # Their own frames say whether they passed; an assert statement in them ends them.
    code = _code(tree)
    for entry, function in entries:
        asserted = [n for n in ast.walk(function) if _is_assertion(n)]
        tested = frozenset[str]().union(*map(_read_in, asserted))
        yield Unit(code, 0, entry, _read_in(function), tested)


class _Asserts(ast.NodeTransformer):
    """Has each assert statement noted, passed or failed, and the next ones run all the same."""

    def __init__(self) -> None:
        self.count = 0

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        if isinstance(node.test, ast.Constant):  # HumanEval's: they say nothing of the program
            return node
        number = self.count
        self.count += 1
        template = (
            f"try:\n pass\n {PASSED}({number})\n"
            f"except BaseException as __fault__:\n {FAILED}({number}, __fault__)"
        )
        noted = cast("ast.Try", ast.parse(template).body[0])
        noted.body[0] = node
        for inner in ast.walk(noted):
            if hasattr(inner, "lineno"):
                ast.copy_location(inner, node)
        return noted
