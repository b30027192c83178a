"""What a person sees: sections, commands with their output, plain tables. Nothing moves, so a log reads as well."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table
from rich.text import Text

LONG = 400
"""Characters of a nested value that are shown."""


def compact(value: Any) -> str:
    """Return a JSON value as short text."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONG else f"{text[:LONG]} …"


def fields(body: Mapping[str, Any]) -> list[str]:
    """Return an object as lines: its plain values on the first, each nested one on a line of its own."""
    plain = {key: value for key, value in body.items() if not isinstance(value, dict | list)}
    first = "  ".join(f"{key}={compact(value)}" for key, value in plain.items())
    nested = [f"{key}: {compact(value)}" for key, value in body.items() if key not in plain and value]
    return [line for line in (first, *nested) if line]


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

    def output(self, body: Mapping[str, Any], errors: str) -> None:
        for line in errors.strip().splitlines():
            self._console.print(Text(f"     {line}", style="dim"))
        for line in fields(body):
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
