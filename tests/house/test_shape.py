"""Modules are small, are named for what they hold, and catch only what they can name."""

import ast
from collections.abc import Iterator
from math import ceil
from pathlib import PurePath

MODULE_LINES = 300
FUNCTION_LINES = 50
LINES_PER_BROAD_EXCEPT = 1000
NAMES_THAT_SAY_NOTHING = {"base", "common", "constants", "core", "helper", "helpers", "misc", "util", "utils"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def code_lines(function: Function) -> int:
    """Lines from `def` to the end, without the docstring, which may be as long as it has something to say."""
    first = function.body[0]
    described = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and len(function.body) > 1
    docstring = first.end_lineno - first.lineno + 1 if described else 0
    return function.end_lineno - function.lineno + 1 - docstring


def is_broad(handler: ast.ExceptHandler) -> bool:
    caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(name is None or ast.unparse(name) in {"Exception", "BaseException"} for name in caught)


def test_no_module_or_folder_has_a_name_that_says_nothing(everything):
    parts = {(module.path, part) for module in everything for part in PurePath(module.path).with_suffix("").parts}
    assert sorted(path for path, part in parts if part in NAMES_THAT_SAY_NOTHING) == []


def test_a_module_can_be_read_in_one_sitting(shipped):
    assert {module.path: module.lines for module in shipped if module.lines > MODULE_LINES} == {}


def test_a_function_fits_on_a_screen(shipped):
    lines = {f"{m.path}:{f.lineno} {f.name}": code_lines(f) for m in shipped for f in functions(m.tree)}
    assert {where: count for where, count in lines.items() if count > FUNCTION_LINES} == {}


def test_a_broad_except_is_rare(shipped):
    handlers = [(m, node) for m in shipped for node in ast.walk(m.tree) if isinstance(node, ast.ExceptHandler)]
    broad = [f"{module.path}:{handler.lineno}" for module, handler in handlers if is_broad(handler)]
    allowed = ceil(sum(module.lines for module in shipped) / LINES_PER_BROAD_EXCEPT)
    assert len(broad) <= allowed, broad
