"""Engines as actors: backfill, dry run, verification and repair; their books and verdicts are held against what was."""

from collections.abc import Sequence
from itertools import product

from relay_jobs import Stage
from relay_jobs.errors import Interrupted, Refused
from relay_jobs.progress import Books, Phase, Verdict
from tests.interleavings.copies import WORKSPACES, WRITES_BOTH, Instant
from tests.interleavings.operations import Operation
from tests.interleavings.world import Process, World


def backfill(process: Process, partitions: int = 1) -> None:
    """Open, walk, close; a refusal is an answer."""
    relay, name, begun, restarted = process.migration, process.nth(), len(process.world.steps), False
    try:
        opened = relay.open_pass(run=name, step="full", full_speed=True, batch=1, partitions=partitions, wait=False)
        for number in range(opened.partitions):
            restarted |= any(report.phase is Phase.RESTARTED for report in [*relay.walk(opened, number, name)])
        restarted |= any(report.phase is Phase.RESTARTED for report in [*relay.close(opened, name)])
        summary = relay.summary(opened)
        relay.release(name)
    except (Refused, Interrupted):
        return
    assert summary.complete, "a closed pass is not complete"
    for books in (summary.books, summary.total):
        assert books.balanced, f"books that do not balance: {books}"
    if not restarted:
        _judge_pass(process, begun, summary.books, summary.total)


def _judge_pass(process: Process, begun: int, own_books: Books, books: Books) -> None:
    """What was there throughout was scanned and has its copy now; what was copied is what was counted."""
    world = process.world
    instants = world.instants(begun)
    own = [step for step in world.steps[begun:] if (step.actor, step.kind) == (process.name, process.kind)]
    made = sum(step.before.scoped.get(place) != copy for step in own for place, copy in step.after.scoped.items())
    assert made == own_books.migrated, f"{made} copies were made, {own_books.migrated} were counted"
    there = [job_id for job_id in world.job_ids if all(job_id in instant.legacy for instant in instants)]
    assert books.scanned >= len(there), f"{books.scanned} keys were scanned, {len(there)} were there throughout"
    for workspace, job_id in product(WORKSPACES, there):
        written = all(instant.stage(workspace) is not Stage.LEGACY for instant in instants)
        if written and all(instant.valid_legacy(workspace, job_id) for instant in instants):
            copy = world.before.scoped.get((workspace, job_id))
            assert copy is not None, f"{job_id} was there throughout a complete pass and has no copy"


def dry_run(process: Process) -> None:
    """Count only."""
    begun = len(process.world.steps)
    try:
        reports = process.migration.dry_run(full_speed=True, batch=1)
        books = sum((report.counts for report in reports), Books())
    except Refused:
        return
    assert books.balanced, f"books that do not balance: {books}"
    instants = process.world.instants(begun)
    there = [job_id for job_id in process.world.job_ids if all(job_id in instant.legacy for instant in instants)]
    assert books.scanned >= len(there), f"{books.scanned} keys were scanned, {len(there)} were there throughout"


def verify(process: Process, *, repair: bool = False) -> None:
    """Both directions; what it finds was there, and what it calls clean was clean."""
    begun = len(process.world.steps)
    try:
        checking = process.migration.verify(repair=repair, run=process.name, full_speed=True)
        for _ in checking:
            pass
    except (Refused, Interrupted):
        return
    judge = _judge_repair if repair else _judge_verdict
    judge(process, begun, checking.verdict)


def _judge_verdict(process: Process, begun: int, verdict: Verdict) -> None:
    """What it found stood at two of its readings; what it calls clean was so at one; and its books balance."""
    world = process.world
    own = [step for step in world.steps[begun:] if (step.actor, step.kind) == (process.name, process.kind)]
    readings = {
        name: [step.before for step in own if step.command == f"read-only {name}"]
        for name in ("compare_jobs", "find_extra")
    }
    for finding, name in (("different", "compare_jobs"), ("missing", "compare_jobs"), ("extra", "find_extra")):
        seen = [[at.finding(w, j) == finding for at in readings[name]] for w, j in world.places]
        if getattr(verdict, finding):
            assert any(sum(at) >= 2 for at in seen), f"{finding} was counted and not there at two readings"
            assert finding != "different" or _stood_still(world, readings[name]), "counted while it still moved"
        elif all(at.stage(w) in WRITES_BOTH for at in readings[name] for w in WORKSPACES):
            assert not any(all(at) for at in seen), f"{finding} was there at every reading and not counted"
    instants = world.instants(begun)
    legacy = set(world.before.legacy)
    steady = all(set(at.legacy) == legacy and at.stage("acme") is not Stage.LEGACY for at in instants)
    counted = verdict.equal + verdict.different + verdict.missing + verdict.quarantined
    assert not steady or counted == len(legacy), f"{counted} were counted of {len(legacy)}: {verdict}"


def _stood_still(world: World, readings: Sequence[Instant]) -> bool:
    """Whether some job was different in the same way at two readings."""
    differences = [[at.difference(w, j) for at in readings if at.finding(w, j) == "different"] for w, j in world.places]
    return any(found.count(difference) >= 2 for found in differences for difference in found)


def _judge_repair(process: Process, begun: int, verdict: Verdict) -> None:
    """Where nobody else wrote, what it leaves is equal, or counted as what it is."""
    world = process.world
    if all(step.actor == process.name for step in world.steps[begun:]):
        left = {world.before.finding(*place) for place in world.places} - {"equal", "nothing"}
        assert not verdict.verified or not left, f"a repair called clean leaves {left}"


ENGINES = (
    Operation("backfill", backfill, "backfill"),
    Operation("backfill_2", lambda p: backfill(p, 2), "backfill"),
    Operation("dry_run", dry_run, "dry"),
    Operation("verify", verify, "look"),
    Operation("repair", lambda p: verify(p, repair=True), "repair"),
)
