"""Runs Spin on a model: every reachable state, and the shortest way into a broken property if there is one."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "model"
_PROGRAMS = ("spin", "gcc")
# Breadth first: no depth to be cut off at, and a counterexample is as short as can be. No state is hashed to bits, no
# order of steps is left out. Compiling costs more than searching, so the compiler does not optimise.
_PAN = ("-O0", "-w", "-DSAFETY", "-DBFS", "-DNOREDUCE", "-DMEMLIM=1500")
_SECONDS = 120
# What Spin prints if a search was anything less than all of it.
_CUT_SHORT = ("Search not completed", "max search depth too small", "out of memory", "bit statespace")
_UNREACHABLE = re.compile(r"BREAKS\(|/\* never")


@dataclass(frozen=True)
class Search:
    """One search; ``trail`` is the way to the broken property, in the model's own words, '' if none is broken."""

    output: str
    trail: str

    @property
    def errors(self) -> int:
        return int(re.search(r"errors: (\d+)", self.output)[1])

    @property
    def states(self) -> int:
        return int(re.search(r"(\d+) states, stored", self.output)[1])

    @property
    def exhaustive(self) -> bool:
        """Whether every reachable state was seen."""
        return "Full statespace search" in self.output and not any(word in self.output for word in _CUT_SHORT)

    @property
    def broken(self) -> str:
        """Name of the broken property; '' if none is."""
        found = re.search(r"BROKEN\s+(\w+)", self.trail)
        return found[1] if found else ""

    @property
    def unreached(self) -> list[str]:
        """Statements that no run of the model comes to, the ends of loops aside.

        A line that names a broken property, or says ``never``, is not meant to be reached.
        """
        found = re.findall(r'^\t(\S+\.pml):(\d+), state \d+, "(.*)"$', self.output, re.MULTILINE)
        places = {(name, int(line), text) for name, line, text in found if text != "-end-"}
        return sorted(f"{n}:{line} {text}" for n, line, text in places if not _UNREACHABLE.search(_line(n, line)))


def missing_programs() -> None:
    """Skip the test where Spin or a compiler is missing; where the whole suite must run that is a failure."""
    missing = [name for name in _PROGRAMS if shutil.which(name) is None]
    if missing and os.environ.get("CI", "").lower() == "true":
        pytest.fail(f"{' and '.join(missing)} not installed")
    if missing:
        pytest.skip(f"{' and '.join(missing)} not installed")


def search(folder: Path, model: str, *macros: str) -> Search:
    """Search all of a model, with some macros defined."""
    options = [f"-D{macro}" for macro in macros]
    for path in MODELS.glob("*.pml"):
        shutil.copy(path, folder)
    _run(folder, "spin", *options, "-a", f"{model}.pml")
    _run(folder, "gcc", *_PAN, "-o", "pan", "pan.c")
    output = _run(folder, "./pan", "-w20")
    found = (folder / f"{model}.pml.trail").exists()
    return Search(output, _run(folder, "spin", *options, "-T", "-t", f"{model}.pml") if found else "")


def _line(model: str, number: int) -> str:
    return (MODELS / model).read_text(encoding="utf-8").splitlines()[number - 1]


def _run(folder: Path, *command: str) -> str:
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False)
    # pan and a replay may end with a count of errors as their status; only a program that said nothing has failed.
    assert ran.returncode == 0 or ran.stdout, f"{' '.join(command)}: {ran.stderr}"
    return ran.stdout
