"""A process from before the library: legacy keys only, several commands, no scripts."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import redis

from chaos.sight import legacy_key
from demo.seed import QUEUE
from demo.world import LATE_WORKSPACE

if TYPE_CHECKING:
    from chaos.actors import Actor


def old(actor: Actor, client: redis.Redis) -> None:
    """Write jobs of its own: some are queued, the others it moves on and finishes or deletes by itself."""
    opened: list[tuple[str, str, str]] = []
    for number in actor.ticks():
        if number % 4 == 0 or not opened:
            name = actor.journal.next_id()
            queued = number % 8 == 0
            if _put(actor, client, (f"old {name}", name, "pending"), queued=queued) and not queued:
                opened.append((f"old {name}", name, "pending"))
            continue
        job, name, status = opened.pop(actor.dice.randrange(len(opened)))
        if status == "pending":
            if _put(actor, client, (job, name, "running")):
                opened.append((job, name, "running"))
        elif actor.dice.random() < 0.3:
            actor.call(
                "drop",
                job,
                LATE_WORKSPACE,
                lambda job=job: client.delete(legacy_key(job)),  # type: ignore[misc]
                lambda found: {"found": bool(found)},
            )
        else:
            _put(actor, client, (job, name, "completed"))


def _put(actor: Actor, client: redis.Redis, state: tuple[str, str, str], *, queued: bool = False) -> bool:
    """Write a whole job in one command, so that it is never the one who makes a part of one."""
    job, by, status = state
    stamp = datetime.now(UTC).isoformat()
    mark = f"{by} done" if status == "completed" else ""
    fields = {
        "job_id": job,
        "status": status,
        "action_provider": "internal",
        "action_name": "report.build",
        "params": json.dumps({"ws": LATE_WORKSPACE, "by": by}),
        "workspace_id": LATE_WORKSPACE,
        "actor_id": "old-process",
        "enqueued_at": stamp,
        "started_at": stamp if status != "pending" else "",
        "finished_at": stamp if mark else "",
        "result": json.dumps({"mark": mark}) if mark else "",
    }

    def write() -> bool:
        client.hset(legacy_key(job), mapping=fields)  # type: ignore[arg-type]
        if queued:
            client.rpush(QUEUE, job)
        return True

    facts = {"by": by, "status": status, "mark": mark}
    return actor.call("put", job, LATE_WORKSPACE, write, lambda _: {}, **facts)[1] is not None
