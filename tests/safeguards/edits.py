"""An edit of the package's source that takes a safeguard out, and what puts it into force in a running process."""

import ast
import gc
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType

from relay_jobs.scripting import Script

PACKAGE = Path(__file__).resolve().parents[2] / "relay_jobs"


class EditError(Exception):
    """The text to replace is not there exactly once, or nothing that runs has changed with it."""


@dataclass(frozen=True)
class Edit:
    """``old`` becomes ``new`` in one file of the package; ``old`` occurs there exactly once."""

    file: str  # from the package's folder, e.g. lua/rules.lua
    old: str
    new: str

    @property
    def path(self) -> Path:
        """Where the file is."""
        return PACKAGE / self.file

    def texts(self) -> tuple[str, str]:
        """The file's whole text before and after.

        Raises:
            EditError: ``old`` is not there, or more than once.
        """
        before = self.path.read_text(encoding="utf-8")
        if before.count(self.old) != 1:
            msg = f"{self.file}: {before.count(self.old)} places read {self.old!r}"
            raise EditError(msg)
        return before, before.replace(self.old, self.new)

    def apply(self) -> None:
        """Put it into force in this process, for good.

        Raises:
            EditError: nothing that is loaded has changed.
        """
        before, after = self.texts()
        changed = _in_scripts(before, after) if self.path.suffix == ".lua" else _in_functions(self.path, after)
        if not changed:
            msg = f"{self.file}: nothing that is loaded holds {self.old!r}"
            raise EditError(msg)


def _in_scripts(before: str = "", after: str = "") -> int:
    """Replace a file's text in all scripts and write them anew; how many have changed."""
    known = {script: script.sha for script in gc.get_objects() if isinstance(script, Script)}
    for script in known:
        script.write(script.rules.replace(before, after), script.own.replace(before, after))
    return sum(script.sha != sha for script, sha in known.items())


def _in_functions(path: Path, after: str) -> int:
    name = str(path)
    codes = _codes(compile(after, name, "exec"))
    named = Counter(code.co_qualname for code in codes)
    # Lambdas of one place cannot be told apart: they stay as they are.
    new = {code.co_qualname: code for code in codes if code.co_name != "<lambda>" or named[code.co_qualname] == 1}
    functions = [each for each in gc.get_objects() if isinstance(each, FunctionType)]
    own = [each for each in functions if each.__code__.co_filename == name and each.__code__.co_qualname in new]
    changed = 0
    for function in own:
        code = new[function.__code__.co_qualname]
        if code.co_freevars == function.__code__.co_freevars and code != function.__code__:
            function.__code__ = code
            changed += 1
    # Some of these functions make the scripts' texts.
    _in_scripts()
    return changed


def _codes(code: CodeType) -> list[CodeType]:
    inner = [each for each in code.co_consts if isinstance(each, CodeType)]
    return [code, *(found for each in inner for found in _codes(each))]


def names_of_scripts(file: str) -> set[str]:
    """Scripts that hold the text of one Lua file."""
    text = (PACKAGE / file).read_text(encoding="utf-8")
    return {each.name for each in gc.get_objects() if isinstance(each, Script) and text in each.rules + each.own}


def qualname_at(file: str, line: int) -> str:
    """The function or method that a line of a Python file belongs to, '' if it is in none."""
    return _inside(ast.parse((PACKAGE / file).read_text(encoding="utf-8")), line, "")


def _inside(node: ast.AST, line: int, name: str) -> str:
    for child in ast.iter_child_nodes(node):
        named = isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if named and child.lineno <= line <= (child.end_lineno or 0):
            own = f"{name}.{child.name}" if name else child.name
            return _inside(child, line, own) if isinstance(child, ast.ClassDef) else own
    return name
