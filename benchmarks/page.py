"""docs/performance.md, made of the results of the last run of each part."""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from benchmarks.result import Section

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "performance.md"
RESULTS = ROOT / "benchmarks" / "results"

Parts = Mapping[str, Callable[..., Section]]

_HEAD = """\
# Performance

What the library and the migration cost, each beside what it is measured against. Both sides of a ratio ran in one run
on one machine and took turns; a figure in seconds says as much of the machine as of the code, a ratio says less of it.
Shown is the median of all rounds, and the smallest and the largest of them: where these are far apart, the machine was
not quiet, and the figure is worth less.

This page is written by `make bench` (`python -m benchmarks`), each part with what it ran on; the figures themselves are
in `benchmarks/results/`. `python -m benchmarks --quick` takes a short look and writes nothing. What must not get slower
unnoticed is held by tests that count the server's commands and the round trips of each job: a count is the same on
every machine (`tests/benchmarks/test_costs.py`).
"""


def page(sections: Iterable[Section]) -> str:
    """The whole page."""
    return "\n".join([_HEAD, *(f"{section.text()}\n" for section in sections)])


def write(sections: Iterable[Section]) -> None:
    """Write it."""
    PAGE.write_text(page(sections), encoding="utf-8")


def remember(name: str, section: Section) -> None:
    """Keep what a part has found."""
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(section.as_dict(), indent=1, ensure_ascii=False)
    (RESULTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def known(names: Iterable[str]) -> list[Section]:
    """What is kept of these parts."""
    paths = [RESULTS / f"{name}.json" for name in names]
    return [Section.from_dict(json.loads(path.read_text(encoding="utf-8"))) for path in paths if path.exists()]
