"""Every script says what it does, and is loaded at one place."""

import ast
import re
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def files(root) -> dict[str, str]:
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted((root / "relay_jobs/lua").glob("*.lua"))}


@pytest.fixture(scope="session")
def scripts(files) -> dict[str, str]:
    """What is called by name, `<verb>_<noun>`; a single noun is a text that the loader puts before each of them."""
    return {name: text for name, text in files.items() if "_" in name}


def header(text: str) -> list[str]:
    """The comment lines at the top, without their dashes; an indented line goes on with the one before."""
    lines: list[str] = []
    for line in text.splitlines():
        if not line.startswith("--"):
            break
        said = line.removeprefix("--")
        if said.startswith("  ") and lines:
            lines[-1] += " " + said.strip()
        else:
            lines.append(said.strip())
    return lines


def test_a_header_is_one_sentence_and_then_keys_argv_and_returns(scripts):
    shapes = {name: [line.split(":")[0] for line in header(text)[1:4]] for name, text in scripts.items()}
    assert {name: shape for name, shape in shapes.items() if shape != ["KEYS", "ARGV", "Returns"]} == {}


def test_every_lua_file_begins_with_a_sentence(files):
    sentences = {name: (header(text) or [""])[0] for name, text in files.items()}
    assert {name: said for name, said in sentences.items() if not re.fullmatch(r"[A-Z].*\.", said)} == {}


def test_each_script_is_loaded_at_exactly_one_place(scripts, package):
    places: dict[str, list[str]] = {name: [] for name in scripts}
    for module in package:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and Path(node.value).stem in places:
                places[Path(node.value).stem].append(f"{module.path}:{node.lineno}")
    assert {name: where for name, where in places.items() if len(where) != 1} == {}
