"""Those who look: readers and listers by the library, inspectors at both schemas without it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import redis

from chaos.sight import Look, look, of_job
from relay_jobs import Job, JobStore, Page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chaos.actors import Actor

_PAGE = 60
_AT_ONCE = 8


def reader(actor: Actor, store: JobStore) -> None:
    """Read single jobs, and try some as a workspace that they do not belong to."""

    def tell(job: Job | None) -> dict[str, Any]:
        return {"saw": None if job is None else of_job(job)}

    for number in actor.ticks():
        job, workspace = actor.a_job()
        if number % 8 == 7:
            other = actor.another_workspace(workspace)
            actor.call(
                "foreign",
                job,
                other,
                lambda job=job, other=other: store.get_job(job, other),  # type: ignore[misc]
                lambda found: {"done": found is not None},
                what="read",
            )
            continue
        actor.call("see", job, workspace, lambda job=job, workspace=workspace: store.get_job(job, workspace), tell)  # type: ignore[misc]


def lister(actor: Actor, store: JobStore) -> None:
    """Walk the lists of workspaces page by page; a walk whose page fails is given up."""

    def tell(page: Page) -> dict[str, Any]:
        return {"saw": [of_job(job) for job in page.items], "last": page.next_cursor is None}

    walk, cursor, workspace = 0, None, ""
    for _ in actor.ticks():
        if cursor is None:
            actor.roster.refresh()
            walk += 1
            workspace = actor.dice.choice(sorted(set(actor.roster.workspaces.values())))
        called = actor.call(
            "page",
            "",
            workspace,
            lambda workspace=workspace, cursor=cursor: store.list_jobs(workspace, limit=_PAGE, cursor=cursor),  # type: ignore[misc]
            tell,
            walk=f"{actor.journal.next_id().rsplit('.', 1)[0]}/{walk}",
            first=cursor is None,
        )
        cursor = called[1].next_cursor if called[1] else None


def inspector(actor: Actor, client: redis.Redis) -> None:
    """Look at both copies of some jobs at one instant."""
    for _ in actor.ticks():
        observe(actor.journal, client, [actor.a_job() for _ in range(_AT_ONCE)])


def observe(journal: Any, client: redis.Redis, jobs: Sequence[tuple[str, str]]) -> list[Look]:
    """Look, and note it; a look without an answer tells nothing."""
    name = journal.intent("look")
    with contextlib.suppress(redis.RedisError, OSError):
        stage, epoch, looks = look(client, jobs)
        journal.answer(name, stage=stage, epoch=epoch, looks=looks)
        return looks
    journal.doubt(name, "no answer")
    return []
