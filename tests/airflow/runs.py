"""A DAG run in the test's own process, what became of it, and what its tasks logged."""

import logging
from dataclasses import dataclass, field
from typing import Any

import redis
from airflow.sdk import DAG

SKIPPED, SUCCESS, FAILED, UPSTREAM_FAILED = "skipped", "success", "failed", "upstream_failed"


@dataclass(frozen=True)
class Run:
    state: str
    tasks: dict[str, str]  # state by task id; of a mapped task the states of all its instances, joined
    tries: dict[str, int]  # highest try number by task id
    names: list[str]  # rendered names of the mapped instances
    log: list[str] = field(repr=False)
    warnings: list[str] = field(repr=False)
    printed: str = field(repr=False)  # all that Airflow made of it, tracebacks included

    def said(self, text: str) -> bool:
        return text in self.printed or any(text in line for line in self.log)

    def only(self, state: str) -> set[str]:
        return {task for task, its in self.tasks.items() if its == state}


def run_dag(dag: DAG, caplog: Any, capsys: Any, conf: dict[str, Any], mark_success: str | None) -> Run:
    caplog.clear()
    capsys.readouterr()
    with caplog.at_level(logging.INFO, "relay_jobs"):
        ended = dag.test(run_conf=conf, mark_success_pattern=mark_success)
    states: dict[str, list[str]] = {}
    tries: dict[str, int] = {}
    names = []
    for ti in ended.get_task_instances():
        states.setdefault(ti.task_id, []).append(str(ti.state))
        tries[ti.task_id] = max(ti.try_number, tries.get(ti.task_id, 0))
        names += [ti.rendered_map_index] if ti.rendered_map_index else []
    ours = [record for record in caplog.records if record.name.startswith("relay_jobs")]
    return Run(
        state=str(ended.state),
        tasks={task: "+".join(sorted(set(those))) for task, those in states.items()},
        tries=tries,
        names=sorted(names),
        log=[record.getMessage() for record in ours],
        warnings=[record.getMessage() for record in ours if record.levelno == logging.WARNING],
        printed=capsys.readouterr().out,
    )


def seed(store: redis.Redis, workspaces: dict[str, int], invalid: int = 0) -> None:
    """Finished legacy jobs of each workspace, and some without a workspace."""
    with store.pipeline(transaction=False) as pipe:
        for workspace, count in workspaces.items():
            for number in range(count):
                job = {"job_id": f"{workspace}-{number}", "workspace_id": workspace, "status": "completed"}
                pipe.hset(f"ai:jobs:{workspace}-{number}", mapping={**job, "enqueued_at": "2025-01-01T00:00:00+00:00"})
        for number in range(invalid):
            pipe.hset(f"ai:jobs:nobody-{number}", mapping={"job_id": f"nobody-{number}", "status": "pending"})
        pipe.execute()


def copies(store: redis.Redis) -> int:
    return sum(1 for _ in store.scan_iter("ai:job:*", count=1000))


def everything(store: redis.Redis) -> dict[bytes, bytes | None]:
    """Every key with its serialized value."""
    return {key: store.dump(key) for key in sorted(store.scan_iter(count=1000))}
