"""A run is followed to its end, its question is answered once and not too early, and only its own lines are shown."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from demo.airflow import connection_json, unhealthy
from demo.follow import RunFollower, as_text, interesting
from demo.report import balanced
from demo.rest import TaskState
from demo.screen import HEAD, TAIL, shortened


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ({"event": "scanned 500", "level": "info", "logger": "relay_jobs.backfill"}, True),
        ({"event": "left 3", "level": "warning", "logger": "dags.relay_backfill"}, True),
        ({"event": "key", "level": "debug", "logger": "relay_jobs.backfill"}, False),
        ({"event": "::group::Pre Execute", "level": "info", "logger": "task"}, False),
        ({"event": "DAG bundles loaded", "level": "info", "logger": "airflow.dag_processing"}, False),
        ({"event": "Task failed with exception", "level": "error", "logger": "task"}, True),
        ({"event": "/a/file.log"}, False),
    ],
)
def test_only_the_tasks_own_lines_are_shown(line: dict[str, Any], shown: bool) -> None:
    assert interesting(line) is shown


def test_a_line_is_its_event_and_its_own_fields() -> None:
    line = {"event": "progress", "level": "info", "dag_id": "d", "ti_id": "x", "scanned": 5}
    assert as_text(line) == "progress scanned=5"
    line = {"event": "failed", "level": "error", "error_detail": [{"exc_type": "Refused", "exc_value": "paused"}]}
    assert as_text(line) == "failed Refused: paused"


@dataclass
class ScriptedApi:
    """An Airflow whose run goes through the given looks, one a second."""

    looks: list[tuple[str, list[TaskState]]]
    answers: list[str] = field(default_factory=list)
    lines: list[dict[str, Any]] = field(default_factory=list)

    def run_state(self, _dag: str, _run: str) -> str:
        return self.looks[0][0]

    def tasks(self, _dag: str, _run: str) -> list[TaskState]:
        return self.looks.pop(0)[1]

    def log(self, _dag: str, _run: str, task: TaskState) -> list[dict[str, Any]]:
        return self.lines or [{"event": f"line of {task.task_id}", "level": "info", "logger": "relay_jobs"}]

    def question(self, _dag: str, _run: str, _task: TaskState) -> dict[str, Any]:
        return {"subject": "go on?"}

    def answer(self, _dag: str, _run: str, _task: TaskState, option: str) -> None:
        self.answers.append(option)


@dataclass
class Paper:
    """A screen that remembers."""

    lines: list[str] = field(default_factory=list)

    def state(self, task: str, state: str, _seconds: float | None) -> None:
        self.lines.append(f"{task}: {state}")

    def log_line(self, task: str, _level: str, text: str) -> None:
        self.lines.append(f"{task} | {text}")


def task(state: str, name: str = "gate", index: int = -1) -> TaskState:
    return TaskState(name, index, 1, state, None, None)


def test_the_question_is_answered_once_and_after_a_pause() -> None:
    waits = ("running", [task("success", "canary"), task("awaiting_input")])
    api = ScriptedApi([("running", [task("running", "canary")]), *[waits] * 6, ("success", [task("success")])])
    clock = Clock()
    paper = Paper()
    asked: list[float] = []

    def approve(_question: dict[str, Any]) -> str:
        asked.append(clock.now)
        return "Approve"

    follower = RunFollower(api, "dag", "run", paper, approve, lambda: None, now=clock, sleep=clock.sleep)
    assert follower.follow() == "success"
    assert api.answers == ["Approve"]
    assert asked == [5.0]
    assert paper.lines == [
        "canary: running",
        "canary | line of canary",
        "canary: success",
        "gate | line of gate",
        "gate: awaiting_input",
        "gate: success",
    ]


def test_tables_and_many_lines_alike_are_left_to_the_log() -> None:
    events = ["begins", "  scanned 5", *(f"invalid: job {n}" for n in range(9)), "invalid again"]
    lines = [{"event": event, "level": "info", "logger": "relay_jobs"} for event in events]
    api = ScriptedApi([("success", [task("success", name) for name in ("canary", "report")])], lines=lines)
    paper = Paper()
    clock = Clock()
    RunFollower(api, "dag", "run", paper, str, lambda: None, now=clock, sleep=clock.sleep).follow()
    shown = ["begins", "invalid: job 0", "invalid: job 1", "invalid: job 2", "invalid again"]
    assert paper.lines == [
        *(f"canary | {event}" for event in shown),
        "canary: success",
        *(f"report | {event}" for event in events),
        "report: success",
    ]


class Clock:
    """A clock that moves only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_airflows_connection_keeps_port_and_database() -> None:
    connection = json.loads(connection_json("redis://127.0.0.1:6400/3"))
    assert connection == {"conn_type": "redis", "host": "127.0.0.1", "port": 6400, "extra": {"db": 3}}


def test_a_component_that_is_not_healthy_is_named() -> None:
    health: dict[str, dict[str, str | None]] = {
        name: {"status": "healthy"} for name in ("metadatabase", "scheduler", "dag_processor", "triggerer")
    }
    assert unhealthy(health) == []
    assert unhealthy({**health, "scheduler": {"status": None}}) == ["scheduler"]
    assert unhealthy({}) == ["metadatabase", "scheduler", "dag_processor", "triggerer"]


def test_books_balance_in_a_pass_and_in_a_dry_run() -> None:
    assert balanced({"scanned": 6, "migrated": 1, "exists": 2, "invalid": 3})
    assert balanced({"scanned": 6, "would_migrate": 1, "exists": 2, "invalid": 3})
    assert not balanced({"scanned": 7, "migrated": 1, "exists": 2, "invalid": 3})


def test_a_long_output_keeps_its_last_progress_its_head_and_its_tail() -> None:
    assert shortened(["a", "1% · x", "2% · y", "b"]) == ["a", "2% · y", "b"]
    samples = [f"missing: job {number}: absent" for number in range(5)]
    assert shortened([*samples, "missing 5"]) == [*samples[:3], "missing 5"]
    lines = [f"line {number}" for number in range(40)]
    short = shortened(lines)
    assert short[:HEAD] == lines[:HEAD]
    assert short[HEAD:] == [f"… {40 - HEAD - TAIL} more lines", *lines[-TAIL:]]
    assert shortened(lines[: HEAD + TAIL + 1]) == lines[: HEAD + TAIL + 1]
