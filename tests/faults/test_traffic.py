"""Under live traffic the planted faults are found, and only these: every verification finds the same."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis

from relay_jobs import Stage
from relay_jobs.progress import Verdict
from tests.engines.traffic import Traffic
from tests.engines.world import Rests, World, fill
from tests.faults.plants import SCORE, SOON
from tests.servers import Server
from tests.store.records import enqueue, fields, legacy, new_store, put_legacy, scoped, set_stage

pytestmark = pytest.mark.redis

STILL = "still"  # the workspace of the planted faults: nobody works on its jobs
JOBS = 60


def put(client: redis.Redis, job_id: str, *sides: bytes, indexed: bool = True) -> None:
    """A job of the workspace of faults."""
    for key in sides or (legacy(job_id), scoped(job_id, STILL)):
        client.hset(key, mapping=fields(job_id, STILL))
    if indexed:
        client.zadd(f"ai:index:{STILL}", {job_id: SCORE})


def plant(client: redis.Redis) -> None:
    """Some of every kind that a verification has a name for, beside jobs that are equal."""
    for number in range(JOBS):
        put(client, f"equal-{number}")
    for number in range(3):
        put(client, f"missing-{number}", legacy(f"missing-{number}"))
        put(client, f"partial-{number}", legacy(f"partial-{number}"))
        client.hset(scoped(f"partial-{number}", STILL), "status", "completed")
        put(client, f"different-{number}")
        client.hset(scoped(f"different-{number}", STILL), "status", "pendinG")
        put(client, f"expiry-{number}")
        client.pexpireat(legacy(f"expiry-{number}"), SOON)
        put(client, f"extra-{number}", scoped(f"extra-{number}", STILL))
        put(client, f"unlisted-{number}", indexed=False)
        client.set(legacy(f"quarantined-{number}"), "x")
        client.hset(scoped(f"ghost-{number}", STILL), "status", "completed")
        client.set(f"ai:job:third-{number}", "{}")


REASONS = {
    ("missing", "absent"): {f"missing-{n}" for n in range(3)},
    ("missing", "partial"): {f"partial-{n}" for n in range(3)},
    ("different", "content"): {f"different-{n}" for n in range(3)},
    ("different", "expiry"): {f"expiry-{n}" for n in range(3)},
    ("extra", "absent"): {f"extra-{n}" for n in range(3)},
}


def complaints(world: World, verdict: Verdict) -> list[str]:
    """What a verification did not find, or has invented; a process without the library has jobs without a copy."""
    findings = world.migration.ladder.last(b"ai:migration:verifications")["*"]["findings"]
    old = findings.pop("old", {})
    found: dict[tuple[str, str], set[str]] = {}
    for sample in verdict.samples:
        if sample.workspace_id == STILL and (sample.finding, sample.reason) in REASONS:
            found.setdefault((sample.finding, sample.reason), set()).add(sample.job_id)
    planted = {"missing": 6, "different": 6, "extra": 3, "unindexed": 3, "malformed": 3}
    wrong = [] if findings == {STILL: planted} else [f"{findings} instead of {planted}"]
    wrong += [f"{old} of jobs that are in legacy alone"] if set(old) - {"missing"} else []
    wrong += [f"{ids} {of}" for of, ids in found.items() if not ids <= REASONS[of]]
    counts = (verdict.quarantined, verdict.third_generation, verdict.errors)
    return wrong + ([] if counts == (3, 3, 0) else [f"{counts} quarantined, of the third generation, errors"])


@contextmanager
def an_old_process(client: redis.Redis) -> Iterator[set[str]]:
    """Writes, finishes and deletes legacy jobs of its own; what it has left is told at the end."""
    stop, left = threading.Event(), set()

    def run() -> None:
        for turn in range(100_000):
            if stop.is_set():
                return
            job_id = f"old-{turn}"
            put_legacy(client, job_id, "old")
            client.hset(legacy(job_id), mapping={"status": "completed", "result": "{}"})
            if turn % 10:
                client.delete(legacy(job_id))
            else:
                left.add(job_id)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield left
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("stage", [Stage.DUAL_WRITE, Stage.NEW_FIRST, Stage.NEW_ONLY], ids=str)
def test_under_live_traffic_the_planted_faults_are_found_and_only_these(real_server: Server, stage: Stage) -> None:
    """Writers, deleters and expiry through the library; in dual_write a process without it too, in legacy alone."""
    client = real_server.main
    set_stage(client, stage)
    client.hset("ai:migration:stages", "*epoch", 1)
    world = World(client, Rests())
    traffic = Traffic(client, fill(client, 60))
    world.backfill()
    plant(client)
    short = new_store(real_server.client())
    found: list[list[str]] = []

    def look(_: int) -> None:
        for ttl in (0.001, 0.01):
            enqueue(short, ttl_seconds=ttl)
        found.append(complaints(world, world.verify()))

    left: set[str] = set()
    if stage is Stage.DUAL_WRITE:
        with an_old_process(real_server.client()) as left:
            traffic.during(look)
    else:
        traffic.during(look)
    assert [wrong for wrong in found if wrong] == []
    last = world.verify()
    record: dict[str, Any] = world.migration.ladder.last(b"ai:migration:verifications")["*"]
    assert record["findings"].get("old", {}) == ({"missing": len(left)} if left else {})
    assert last.missing == 6 + len(left)
    assert traffic.nothing_lost()


@pytest.mark.parametrize("stage", [Stage.DUAL_WRITE, Stage.NEW_FIRST, Stage.NEW_ONLY], ids=str)
def test_a_repair_under_live_traffic_mends_what_was_planted(real_server: Server, stage: Stage) -> None:
    """And nothing that nobody had planted; what cannot be mended is what is left."""
    client = real_server.main
    set_stage(client, stage)
    client.hset("ai:migration:stages", "*epoch", 1)
    world = World(client, Rests())
    traffic = Traffic(client, fill(client, 60))
    world.backfill()
    plant(client)
    mended: list[int] = []
    traffic.during(lambda turn: mended.append(world.verify(repair=True, run=f"mender-{turn}").repaired))
    assert mended == [18, *[0] * (len(mended) - 1)]
    after = world.verify()
    assert (after.verified, after.unindexed, after.malformed, after.quarantined) == (True, 0, 3, 3)
    assert traffic.nothing_lost()
