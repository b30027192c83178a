"""A DAG run, followed live: state changes of its tasks, the lines of their logs, the question it asks."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from demo.processes import DemoError
from demo.rest import TaskState

HITL_PAUSE = 3.5
"""Seconds between the question and the answer: an earlier answer reaches Airflow while the task's process still ends,
and Airflow then fails the task."""

NOISE = ("airflow.", "task.stdout", "task.stderr", "task", "py.warnings", "supervisor")
"""Loggers that speak of Airflow's own work."""

HIDDEN_FIELDS = (
    *("timestamp", "event", "level", "logger", "filename", "lineno", "loc", "error_detail", "sources"),
    *("ti", "ti_id", "dag_id", "run_id", "task_id", "map_index", "try_number"),
)
"""What Airflow adds to each line; the screen says it once, in the task's name."""

MANY = 3
"""Lines of one kind that are shown of a task's log, such as samples of invalid records."""

ENDED = ("success", "failed", "skipped", "upstream_failed", "removed")


class Api(Protocol):
    """What the follower asks Airflow for."""

    def run_state(self, dag_id: str, run_id: str, /) -> str: ...

    def tasks(self, dag_id: str, run_id: str, /) -> list[TaskState]: ...

    def log(self, dag_id: str, run_id: str, task: TaskState, /) -> list[dict[str, Any]]: ...

    def question(self, dag_id: str, run_id: str, task: TaskState, /) -> dict[str, Any]: ...

    def answer(self, dag_id: str, run_id: str, task: TaskState, option: str, /) -> None: ...


class Screen(Protocol):
    """What the follower writes to."""

    def state(self, task: str, state: str, seconds: float | None, /) -> None: ...

    def log_line(self, task: str, level: str, text: str, /) -> None: ...


def interesting(line: dict[str, Any]) -> bool:
    """Tell whether a line of a task's log is the task's own report: information or worse, and not Airflow's."""
    logger = str(line.get("logger", ""))
    level = str(line.get("level", "info")).lower()
    if level in ("error", "critical"):
        return True
    own = bool(logger) and not any(logger == name or logger.startswith(name) for name in NOISE)
    return own and level in ("info", "warning")


def as_text(line: dict[str, Any]) -> str:
    """Return a structured line as one line of text: the event, then its fields, then the last line of a traceback."""
    fields = [f"{key}={value}" for key, value in line.items() if key not in HIDDEN_FIELDS]
    for error in line.get("error_detail") or []:
        fields.append(f"{error.get('exc_type')}: {error.get('exc_value')}")
    return " ".join([str(line["event"]), *fields])


@dataclass
class RunFollower:
    """Follows one run to its end. `on_question` gets the question's details and returns the option to choose."""

    api: Api
    dag_id: str
    run_id: str
    screen: Screen
    on_question: Callable[[dict[str, Any]], str]
    check: Callable[[], None]
    in_full: tuple[str, ...] = ("report",)
    patience: float = 600.0
    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _states: dict[tuple[str, int], tuple[str | None, int]] = field(default_factory=dict)
    _lines: dict[tuple[str, int, int], int] = field(default_factory=dict)
    _asked: dict[tuple[str, int, int], float] = field(default_factory=dict)
    _alike: Counter[tuple[str, int, int, str]] = field(default_factory=Counter)
    _answered: set[tuple[str, int, int]] = field(default_factory=set)

    def follow(self) -> str:
        """Return the run's final state. `check` is called each second and may raise."""
        deadline = self.now() + self.patience
        while self.now() < deadline:
            self.check()
            state = self.api.run_state(self.dag_id, self.run_id)
            self._look()
            if state in ("success", "failed"):
                return state
            self.sleep(1)
        raise DemoError(f"run {self.run_id} of {self.dag_id} did not end within {self.patience:.0f} s: {self.states()}")

    def states(self) -> dict[str, str | None]:
        return {task: state for (task, _), (state, _) in self._states.items()}

    def _look(self) -> None:
        for task in self.api.tasks(self.dag_id, self.run_id):
            key = (task.task_id, task.map_index)
            now = (task.state, task.try_number)
            changed = now != self._states.get(key)
            self._states[key] = now
            at_rest = task.state in (*ENDED, "up_for_retry", "awaiting_input")
            if changed and not at_rest:
                self._show_state(task)
            if task.state == "running" or (changed and at_rest):
                self._show_log(task)
            if changed and at_rest:
                self._show_state(task)
            if task.state == "awaiting_input":
                self._answer(task)

    def _show_state(self, task: TaskState) -> None:
        if task.state not in (None, "scheduled", "queued"):
            self.screen.state(task.name, str(task.state), task.duration)

    def _show_log(self, task: TaskState) -> None:
        if task.state in ("skipped", "upstream_failed", "removed"):
            return
        key = (task.task_id, task.map_index, task.try_number)
        lines = self.api.log(self.dag_id, self.run_id, task)
        for line in lines[self._lines.get(key, 0) :]:
            if interesting(line) and (task.task_id in self.in_full or not self._is_detail(key, line)):
                self.screen.log_line(task.name, str(line.get("level", "info")), as_text(line))
        self._lines[key] = max(len(lines), self._lines.get(key, 0))

    def _is_detail(self, key: tuple[str, int, int], line: dict[str, Any]) -> bool:
        """Tell whether a line can be left to the task's log: part of a table, or one more of many alike."""
        event = str(line["event"])
        kind = (*key, event.split(":")[0])
        self._alike[kind] += ":" in event
        return event.startswith("  ") or self._alike[kind] > MANY

    def _answer(self, task: TaskState) -> None:
        key = (task.task_id, task.map_index, task.try_number)
        since = self._asked.setdefault(key, self.now())
        if key in self._answered or self.now() - since < HITL_PAUSE:
            return
        option = self.on_question(self.api.question(self.dag_id, self.run_id, task))
        self.api.answer(self.dag_id, self.run_id, task, option)
        self._answered.add(key)
