"""Every small change of a Lua script or of the package's functions that takes a check or an effect out.

Rules of mutation testing, chosen so that a change is likely to be a safeguard gone: a condition that is always or
never true or has lost an operand, a comparison that is off by one or turned around, a statement that is not there.
"""

import ast
import re
from collections.abc import Iterator

from tests.safeguards.edits import PACKAGE, Edit

_COMPARISONS = {" < ": " <= ", " <= ": " < ", " > ": " >= ", " >= ": " > ", " == ": " ~= ", " ~= ": " == "}
_REFUSALS = "void|fenced|held|unknown|foreign|taken|conflict|type|flags|impossible|expired|moved|lost"

Span = tuple[tuple[int, int], tuple[int, int]]


def changes_of(file: str) -> Iterator[Edit]:
    """All changes of one file, e.g. ``lua/update_job.lua``; each edit is its whole text before and after."""
    text = (PACKAGE / file).read_text(encoding="utf-8")
    for changed in dict.fromkeys(_lua(text) if file.endswith(".lua") else _python(text)):
        if changed != text:
            yield Edit(file, text, changed)


def shown(edit: Edit) -> str:
    """The line that a change is about, for a person."""
    old, new = edit.old.splitlines(), edit.new.splitlines()
    first = next(number for number, (a, b) in enumerate(zip(old, new, strict=False)) if a != b)
    return f"{edit.file}:{first + 1}\n    - {old[first].strip()}\n    + {new[first].strip()}"


def _lua(text: str) -> Iterator[str]:
    lines = text.splitlines(keepends=True)
    for number, line in enumerate(lines):
        if line.lstrip().startswith("--"):
            continue
        for rule in (_conditions, _operands, _comparisons, _statements, _returns):
            for new in rule(line.rstrip("\n")):
                yield "".join([*lines[:number], new + "\n", *lines[number + 1 :]])


def _conditions(line: str) -> Iterator[str]:
    for head, condition, tail in re.findall(r"^(.*?\b(?:if|elseif|while) )(.*?)( (?:then|do)\b.*)$", line):
        yield f"{head}false{tail}"
        if "while" not in head:
            yield f"{head}true{tail}"
        for part in _without_operands(condition):
            yield f"{head}{part}{tail}"


def _operands(line: str) -> Iterator[str]:
    for head, condition in re.findall(r"^(\s*(?:return|local \w+ =|\w+ =) )(.* (?:and|or) .*)$", line):
        for part in _without_operands(condition):
            yield f"{head}{part}"


def _comparisons(line: str) -> Iterator[str]:
    for old, new in _COMPARISONS.items():
        for found in re.finditer(re.escape(old), line):
            yield line[: found.start()] + new + line[found.end() :]
    if "'REPLACE'" in line:
        yield line.replace(", 'REPLACE'", "")


def _statements(line: str) -> Iterator[str]:
    indent, _, said = re.fullmatch(r"(\s*)((?=\S)(.*))?", line).groups()  # type: ignore[union-attr]
    if re.fullmatch(r"(?:call|typed|[a-z_]+)\(.*\)|[\w\[\]., #+]+ = [^=].*", said or "") and _is_statement(said):
        yield f"{indent}do end"
    inline = re.match(r"^(.* then )((?:call|[a-z_]+)\(.*\)|[\w\[\]., #+]+ = [^=].*?)( end)$", line)
    if inline:
        yield f"{inline[1]}do end{inline[3]}"


def _is_statement(said: str) -> bool:
    balanced = said.count("(") == said.count(")") and said.count("{") == said.count("}")
    return (
        balanced and not said.startswith(("local ", "if ", "for ", "return ", "function ")) and "function" not in said
    )


def _returns(line: str) -> Iterator[str]:
    for found in re.finditer(r" return (?!function)[^;]*? end$", line):
        yield f"{line[: found.start()]} do end end"
    alone = re.match(rf"^(\s+)return \{{'(?:{_REFUSALS})'.*\}}$", line)
    if alone:
        yield f"{alone[1]}do end"


def _without_operands(condition: str) -> Iterator[str]:
    """The condition with one operand of its and/or left out, brackets respected."""
    pieces, depth, start = [], 0, 0
    for found in re.finditer(r"[(){}]| and | or ", condition):
        token = found.group()
        depth += (token in "({") - (token in ")}")
        if depth == 0 and token.strip() in {"and", "or"}:
            pieces += [condition[start : found.start()], token]
            start = found.end()
    pieces.append(condition[start:])
    for index in range(0, len(pieces) if len(pieces) > 1 else 0, 2):
        yield "".join(pieces[2:] if index == 0 else pieces[: index - 1] + pieces[index + 1 :])


def _python(text: str) -> Iterator[str]:
    lines = text.splitlines(keepends=True)
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    for node in (inner for function in functions for inner in ast.walk(function)):
        for rule in (_tests, _parts, _effects, _order):
            for (start, end), new in rule(node):
                before = lines[start[0] - 1].encode()[: start[1]].decode()
                after = lines[end[0] - 1].encode()[end[1] :].decode()
                yield "".join([*lines[: start[0] - 1], before + new + after, *lines[end[0] :]])


def _span(node: ast.expr | ast.stmt) -> Span:
    return (node.lineno, node.col_offset), (node.end_lineno or 0, node.end_col_offset or 0)


def _tests(node: ast.AST) -> Iterator[tuple[Span, str]]:
    if isinstance(node, ast.If | ast.While | ast.IfExp):
        yield _span(node.test), "False"
        if not isinstance(node, ast.While):
            yield _span(node.test), "True"


def _parts(node: ast.AST) -> Iterator[tuple[Span, str]]:
    if isinstance(node, ast.BoolOp):
        word = " and " if isinstance(node.op, ast.And) else " or "
        for value in node.values:
            rest = [f"({ast.unparse(each)})" for each in node.values if each is not value]
            yield _span(node), f"({word.join(rest)})"


def _effects(node: ast.AST) -> Iterator[tuple[Span, str]]:
    said = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant | ast.Yield | ast.YieldFrom)
    if isinstance(node, ast.Expr | ast.Raise | ast.AugAssign) and not said:
        yield _span(node), "pass"


def _order(node: ast.AST) -> Iterator[tuple[Span, str]]:
    swap = {ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">", ast.Eq: "!=", ast.NotEq: "==", ast.In: "not in"}
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in swap:
        yield _span(node), f"{ast.unparse(node.left)} {swap[type(node.ops[0])]} {ast.unparse(node.comparators[0])}"
