"""What a person sees: sections, commands with their output, plain tables. Nothing moves, so a log reads as well."""

from __future__ import annotations

import re
import shlex
import sys
import time
from collections import Counter
from collections.abc import Sequence

from rich.box import SIMPLE
from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table
from rich.text import Text

HEAD, TAIL = 14, 8
"""Lines of a long output that are shown of its beginning and of its end."""

MANY = 3
"""Lines alike that are shown, such as samples."""

PROGRESS = re.compile(r"\d+% · ")
SAMPLE = re.compile(r"(\w+): job ")


def shortened(lines: Sequence[str]) -> list[str]:
    """Return lines with the last progress only, few samples, and without the middle of what is still long."""
    progress = [line for line in lines if PROGRESS.search(line)]
    alike: Counter[str] = Counter()
    kept = []
    for line in lines:
        sample = SAMPLE.match(line)
        if sample:
            alike[sample[1]] += 1
        if line not in progress[:-1] and not (sample and alike[sample[1]] > MANY):
            kept.append(line)
    left_out = len(kept) - HEAD - TAIL
    return kept if left_out < 2 else [*kept[:HEAD], f"… {left_out} more lines", *kept[-TAIL:]]


class Screen:
    """Writes to the terminal, each line of a followed run with the seconds since the start."""

    def __init__(self) -> None:
        width = None if sys.stdout.isatty() else 132
        self._console = Console(width=width, highlight=False, soft_wrap=True)
        self._begin = time.monotonic()

    def section(self, number: str, title: str) -> None:
        self._console.print()
        self._console.print(Text(f"── {number}  {title}  [{self._clock()}]", style="bold"))

    def say(self, text: str) -> None:
        self._console.print(Text(f"   {text}"))

    def good(self, text: str) -> None:
        self._console.print(Text(f"   {text}", style="green"))

    def bad(self, text: str) -> None:
        self._console.print(Text(f"   {text}", style="bold red"))

    def command(self, arguments: Sequence[str]) -> None:
        self._console.print(Text(f"   $ {shlex.join(arguments)}", style="cyan"))

    def output(self, text: str) -> None:
        """Show what a command said, but for most of its progress lines, and the middle of a long listing."""
        for line in shortened(text.strip().splitlines()):
            self._console.print(Text(f"     {line}"))

    def state(self, task: str, state: str, seconds: float | None) -> None:
        style = {"success": "green", "failed": "bold red", "awaiting_input": "yellow"}.get(state, "bold")
        took = f" in {seconds:.1f} s" if seconds is not None and state in ("success", "failed") else ""
        self._console.print(Text(f"   {self._clock()} {task}: {state}{took}", style=style))

    def log_line(self, task: str, level: str, text: str) -> None:
        style = {"warning": "yellow", "error": "red", "critical": "red"}.get(level, "")
        self._console.print(Text(f"   {self._clock()}   {task} | {text}", style=style))

    def markdown(self, text: str) -> None:
        self._console.print(Markdown(text), soft_wrap=False)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Print a table; the first column is text, the others are numbers, right-aligned."""
        table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE, pad_edge=False)
        for number, column in enumerate(columns):
            table.add_column(column, justify="left" if number == 0 else "right", overflow="fold")
        for row in rows:
            table.add_row(
                *(Text("" if cell is None else f"{cell:,}" if isinstance(cell, int) else str(cell)) for cell in row)
            )
        self._console.print(table, soft_wrap=False)

    def _clock(self) -> str:
        return f"{time.monotonic() - self._begin:6.1f} s"
