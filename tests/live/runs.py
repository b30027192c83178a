"""One run of a DAG, as an operator sees it through the REST API."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from demo.follow import ENDED
from demo.rest import TaskState
from tests.live.rest import LiveApi
from tests.live.waiting import wait_until

OVER = ("success", "failed")
_HASTY_ANSWERS, _BREATH_SECONDS = 2, 5.0


@dataclass(frozen=True)
class LiveRun:
    """A run that was triggered."""

    api: LiveApi = field(repr=False)
    dag_id: str
    run_id: str

    @property
    def state(self) -> str:
        """State of the run."""
        return self.api.run_state(self.dag_id, self.run_id)

    def tasks(self, task_id: str, *states: str) -> list[TaskState]:
        """Instances of a task, in these states if any are given, by their index."""
        found = [task for task in self.api.tasks(self.dag_id, self.run_id) if task.task_id == task_id]
        return sorted((t for t in found if not states or t.state in states), key=lambda task: task.map_index)

    def all_tasks(self, *states: str) -> list[TaskState]:
        """Instances of all tasks in these states."""
        return [task for task in self.api.tasks(self.dag_id, self.run_id) if task.state in states]

    def states(self) -> dict[str, dict[str, int]]:
        """How many instances of each task are in each state."""
        counted: dict[str, Counter[str]] = {}
        for task in self.api.tasks(self.dag_id, self.run_id):
            counted.setdefault(task.task_id, Counter())[str(task.state)] += 1
        return {task: dict(states) for task, states in counted.items()}

    def wait_for(self, task_id: str, *states: str, count: int = 1, patience: float = 120.0) -> list[TaskState]:
        """Wait until so many instances of a task are in one of these states."""

        def found() -> list[TaskState]:
            tasks = self.tasks(task_id, *states)
            assert tasks or self.state not in OVER, f"{self} is over: {self.states()}"
            return tasks if len(tasks) >= count else []

        return wait_until(found, lambda: f"{task_id} is not {' or '.join(states)}: {self.states()}", patience)

    def end(self, patience: float = 240.0) -> str:
        """Wait for the end of the run; its state."""
        wait_until(lambda: self.state in OVER, lambda: f"{self} does not end: {self.states()}", patience)
        return self.state

    def records(self, task_id: str, map_index: int = -1, try_number: int | None = None) -> list[dict[str, Any]]:
        """The structured log of a task's last or given try."""
        (task,) = [task for task in self.tasks(task_id) if task.map_index == map_index]
        return self.api.log_of_try(self.dag_id, self.run_id, task, try_number or max(1, task.try_number))

    def lines(self, task_id: str, map_index: int = -1, try_number: int | None = None) -> list[str]:
        """What the task itself says in its log, line by line."""
        records = self.records(task_id, map_index, try_number)
        return [line["event"] for line in records if str(line.get("logger", "")).startswith("relay_jobs")]

    def told(self, task_id: str, map_index: int = -1) -> str:
        """The logs of all tries of a task, Airflow's own lines and errors included, as one text."""
        (task,) = [task for task in self.tasks(task_id) if task.map_index == map_index]
        tries = range(1, task.try_number + 1)
        return "\n".join(str(line) for number in tries for line in self.records(task_id, map_index, number))

    def stored(self, task_id: str, map_index: int = -1) -> Any:
        """What the task's Storage tab shows of its progress."""
        (task,) = [task for task in self.tasks(task_id) if task.map_index == map_index]
        return self.api.stored(self.dag_id, self.run_id, task, "progress")

    def returned(self, task_id: str) -> Any:
        """What a task returned."""
        (task,) = self.tasks(task_id)
        return self.api.returned(self.dag_id, self.run_id, task)

    def pid(self, task: TaskState) -> int:
        """Process that runs the task."""
        return int(self.api.instance(self.dag_id, self.run_id, task.task_id, task.map_index)["pid"])

    def answer(self, option: str, task_id: str = "approval") -> None:
        """Answer the question that the task asks."""
        (task,) = self.tasks(task_id)
        self.api.answer(self.dag_id, self.run_id, task, option)

    def answer_whenever_asked(self, option: str, task_id: str = "approval", patience: float = 240.0) -> int:
        """Answer at once, and again if Airflow has failed the task for the haste; how often it asked.

        Whoever was asked a third time takes a breath: Airflow fails most answers of the first second, in any number.
        """
        answered: set[int] = set()
        asked_at: dict[int, float] = {}

        def decided() -> bool:
            (task,) = self.tasks(task_id)
            if task.state == "awaiting_input" and task.try_number not in answered:
                waited = time.monotonic() - asked_at.setdefault(task.try_number, time.monotonic())
                if len(answered) < _HASTY_ANSWERS or waited > _BREATH_SECONDS:
                    answered.add(task.try_number)
                    self.answer(option, task_id)
            return task.state in ENDED or self.state in OVER

        wait_until(decided, lambda: f"{task_id} is not decided: {self.states()}", patience)
        return len(answered)

    def clear(self, *tasks: str | tuple[str, int]) -> None:
        """Clear tasks, with all that come after them."""
        self.api.clear(self.dag_id, self.run_id, *tasks)

    def unfinished(self) -> list[str]:
        """Tasks that are not at their end."""
        return [task.name for task in self.api.tasks(self.dag_id, self.run_id) if task.state not in ENDED]
