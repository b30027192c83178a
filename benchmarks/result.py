"""What a part of the benchmarks has found: rows of ratios taken in one run, and what they were taken on."""

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from statistics import median
from time import perf_counter
from typing import Any

Call = Callable[[], object]


@dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
        what: what was measured against what.
        figure: the median over all rounds.
        low: the smallest of the rounds.
        high: the largest.
        unit: of the figure; '' for a ratio.
        goal: what it should be, '' where there is no goal.
    """

    what: str
    figure: float
    low: float
    high: float
    unit: str = ""
    goal: str = ""


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        title: its heading.
        command: what measures it again.
        says: what was done, and what the figures mean.
        rows: the figures.
        chart: bars by name, in the unit that ``axis`` says; none for a part without a chart.
        axis: what the bars are.
        skipped: what could not be measured, and why.
        machine: what it was measured on.
    """

    title: str
    command: str
    says: str
    rows: tuple[Row, ...]
    machine: dict[str, str]
    chart: Mapping[str, float]
    axis: str = ""
    skipped: tuple[str, ...] = ()

    def text(self) -> str:
        """As Markdown: what it says, its table, its bars, and how to measure it again."""
        lines = [
            f"## {self.title}",
            "",
            self.says,
            "",
            "| what | figure | rounds from … to | goal |",
            "|---|---|---|---|",
        ]
        for row in self.rows:
            unit = f" {row.unit}" if row.unit else ""
            lines.append(f"| {row.what} | **{row.figure:g}{unit}** | {row.low:g} … {row.high:g} | {row.goal} |")
        lines += [*_bars(self.chart, self.axis), *(f"\nNot measured: {why}." for why in self.skipped)]
        taken = ", ".join(f"{name} {value}" for name, value in self.machine.items())
        return "\n".join([*lines, "", f"Measured on: {taken}. Again: `{self.command}`."])

    def as_dict(self) -> dict[str, Any]:
        """For a file of results."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Section":
        """Inverse of :meth:`as_dict`."""
        rows = tuple(Row(**row) for row in values["rows"])
        return cls(**{**values, "rows": rows, "skipped": tuple(values["skipped"])})


def _bars(chart: Mapping[str, float], axis: str) -> list[str]:
    """A chart that needs no program to be seen."""
    if not chart:
        return []
    longest, width = max(chart.values()), max(map(len, chart))
    bars = [f"{name:<{width}}  {'█' * max(round(value / longest * 40), 1)} {value:,g}" for name, value in chart.items()]
    return ["", f"In {axis}:", "", "```text", *bars, "```"]


def machine(server: str, *packages: str) -> dict[str, str]:
    """What figures are taken on; ``server`` is its name and version."""
    found = {"processor": _processor(), "cores": str(os.cpu_count()), "server": server}
    found["Python"] = platform.python_version()
    for package in packages:
        if known := installed(package):
            found[package] = known
    return found


def installed(package: str) -> str:
    """The version of a package, '' if it is not there."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as about:
            named = [line.partition(":")[2].strip() for line in about if line.startswith("model name")]
    except OSError:
        named = []
    return named[0] if named else platform.machine()


# A busy moment of the machine should meet all sides alike: they take turns of this many calls.
_TURN = 100


def in_turn(sides: Mapping[str, Call], rounds: int, calls: int) -> dict[str, list[float]]:
    """Microseconds a call of each side, in each round of so many calls; all take turns, over and over."""
    for call in sides.values():
        _seconds(call, _TURN)
    turns = max(calls // _TURN, 1)
    found: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        taken = dict.fromkeys(sides, 0.0)
        for number in range(turns):
            # Who comes first changes, so that no side always follows the same one.
            order = list(sides)
            order = order[number % len(order) :] + order[: number % len(order)]
            for name in order:
                taken[name] += _seconds(sides[name], _TURN)
        for name, seconds in taken.items():
            found[name].append(seconds / (turns * _TURN) * 1e6)
    return found


def _seconds(call: Call, calls: int) -> float:
    began = perf_counter()
    for _ in range(calls):
        call()
    return perf_counter() - began


def ratio(what: str, above: Sequence[float], below: Sequence[float], goal: str = "") -> Row:
    """One side's figure by another's, round by round."""
    found = sorted(a / b for a, b in zip(above, below, strict=True))
    return Row(what, round(median(found), 2), round(found[0], 2), round(found[-1], 2), "", goal)


def figure(what: str, found: Sequence[float], unit: str, goal: str = "", digits: int = 2) -> Row:
    """A figure of one side: of the machine as much as of the code."""
    return Row(what, round(median(found), digits), round(min(found), digits), round(max(found), digits), unit, goal)
