"""What must hold after every command of anyone: the contract's invariants as rules of one step."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from typing import Any

from relay_jobs.jobs import Job
from tests.interleavings.copies import READS_LEGACY_FIRST, WORKSPACES, WRITES_BOTH, Copy, Instant
from tests.interleavings.ledger import UNKNOWN_YET, status_in
from tests.interleavings.world import Step, World

Rule = Callable[[World, Step], None]

ENGINES = frozenset({"backfill", "dry", "look", "repair"})
# What only reads; the server itself refuses a write in a script that is run so.
READS = ("HGETALL", "HGET", "INFO", "TIME", "read-only ")
OURS = ENGINES | {"library"}


def _places(world: World) -> Iterator[tuple[str, str]]:
    return product(WORKSPACES, world.job_ids)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _decoded(value: bytes) -> Any:
    try:
        return json.loads(_text(value)) if value else None
    except ValueError:
        return _text(value)


def _shown(job: Job | None) -> Any:
    if job is None:
        return None
    return (job.job_id, job.workspace_id, job.status, job.params, job.result, job.error, job.actor_id)


def _must_show(workspace: str, job_id: str, record: Copy | None) -> Any:
    if record is None or record.fields is None:
        return None
    of = lambda name: record.fields.get(name, b"")  # noqa: E731
    values = (_decoded(of(b"params")), _decoded(of(b"result")), _text(of(b"error")) or None, _text(of(b"actor_id")))
    return (job_id, workspace, status_in(record.fields), *values)


def copies_move_only_by_the_book(world: World, step: Step) -> None:
    """Looking and moving the stage change no copy; a backfill changes no legacy key, and no whole workspace copy."""
    before, after = step.before, step.after
    if step.kind == "dry":
        assert step.command.startswith(READS), f"a dry run sent {step.command}"
    if step.kind in {"dry", "look", "move", "gated"}:
        assert (before.legacy, before.scoped) == (after.legacy, after.scoped), f"{step.kind} changed a copy"
    if step.kind == "backfill":
        assert before.legacy == after.legacy, "a backfill changed a legacy key"
        for workspace, job_id in _places(world):
            was, now = (seen.scoped.get((workspace, job_id)) for seen in (before, after))
            if was != now:
                assert not before.whole_scoped(workspace, job_id), "a backfill touched a whole workspace copy"
                assert not (was and was.fields is None), "a backfill replaced a key of another type"
                assert now == before.valid_legacy(workspace, job_id), "a backfill made a copy that is not the job"


def repair_follows_the_stage(world: World, step: Step) -> None:
    """The copy that the stage reads stays as it is; the other one becomes it."""
    if step.kind != "repair":
        return
    for workspace, job_id in _places(world):
        left, right = (side.valid_legacy(workspace, job_id) for side in (step.before, step.after))
        old, new = (side.whole_scoped(workspace, job_id) for side in (step.before, step.after))
        if (left, old) == (right, new):
            continue
        assert right == new, "a repair left two copies that are not equal"
        assert right in (left, old), "a repair made a third version"


def present_copies_are_whole(world: World, step: Step) -> None:
    """What a step of ours changes is whole afterwards: every field that was there, and the name's own job."""
    if step.kind == "old":
        return
    for job_id in world.job_ids:
        was, now = step.before.legacy.get(job_id), step.after.legacy.get(job_id)
        if now and now != was:
            _assert_whole(world, step, job_id, was, now, now.owner(job_id))
    for workspace, job_id in _places(world):
        was, now = (seen.scoped.get((workspace, job_id)) for seen in (step.before, step.after))
        if now and now != was:
            _assert_whole(world, step, job_id, was, now, workspace)


def _assert_whole(world: World, step: Step, job_id: str, was: Copy | None, now: Copy, workspace: str | None) -> None:
    assert workspace is not None, f"{job_id}: a key that is no job was written"
    assert now.is_whole(workspace, job_id), f"{job_id}: a copy that is not whole"
    assert was is None or was.fields is not None, f"{job_id}: a key of another type was written"
    if now == step.after.read(workspace, job_id):
        return  # the ledger itself says which fields that one has
    before = step.before
    known = before.valid_legacy(workspace, job_id) or before.whole_scoped(workspace, job_id)
    model = was if was and was.is_whole(workspace, job_id) else known or world.ledger.visible(workspace, job_id)
    assert model is not None, f"{job_id}: a job that nobody has made"
    assert now.names >= model.names, f"{job_id}: {model.names - now.names} got lost"


def both_copies_get_every_write(world: World, step: Step) -> None:
    """Where both schemas are written, equal copies stay equal, and an update carries over what was absent."""
    if step.kind not in OURS:
        return
    for workspace, job_id in _places(world):
        if not {step.before.stage(workspace), step.after.stage(workspace)} <= WRITES_BOTH:
            continue
        was, now = (seen.finding(workspace, job_id) for seen in (step.before, step.after))
        if was in {"equal", "nothing"}:
            assert now in {"equal", "nothing"}, f"{job_id}: {was} became {now}"
        written = step.before.read(workspace, job_id), step.after.read(workspace, job_id)
        blocked = _blocked(step, workspace, job_id)
        if step.kind == "library" and all(written) and written[0] != written[1] and was != "different" and not blocked:
            assert now == "equal", f"{job_id}: an update left {now}"


def _blocked(step: Step, workspace: str, job_id: str) -> bool:
    other = step.before.scoped.get((workspace, job_id))
    invalid = job_id in step.before.legacy and not step.before.valid_legacy(workspace, job_id)
    return bool(other and other.fields is None) or invalid


def readers_see_what_was_told(world: World, step: Step) -> None:
    """The stage's copy is what the ledger says, to the byte and the millisecond; the library shows just that."""
    for workspace, job_id in _places(world):
        seen = step.after.read(workspace, job_id)
        told = _settled(world, step, workspace, job_id, seen)
        assert seen == told, f"{workspace}/{job_id}: reads {seen}, was told {told}"
        if not _touched(step, workspace, job_id):
            continue
        shown = _shown(world.reader.get_job(job_id, workspace))
        assert shown == _must_show(workspace, job_id, told), f"{workspace}/{job_id}: shows {shown}"


def settle(world: World, step: Step) -> None:
    """What the ledger learns from a step that was judged in an earlier run."""
    for workspace, job_id in _places(world):
        _settled(world, step, workspace, job_id, step.after.read(workspace, job_id))


def _touched(step: Step, workspace: str, job_id: str) -> bool:
    def parts(seen: Instant) -> tuple[object, ...]:
        return seen.stage(workspace), seen.legacy.get(job_id), seen.scoped.get((workspace, job_id))

    return parts(step.before) != parts(step.after)


def _settled(world: World, step: Step, workspace: str, job_id: str, seen: Copy | None) -> Copy | None:
    """What the ledger says, after it has learned an expiry, or that the stage reads another copy by definition."""
    ledger = world.ledger
    told = ledger.visible(workspace, job_id)
    if told and seen and told.expiry == UNKNOWN_YET:
        assert seen.expiry > 0, "a time to live got lost"
        told = replace(told, expiry=seen.expiry)
        ledger.records[job_id] = told
    if told != seen and _may_read_another(step, workspace, job_id):
        raw = step.after.legacy.get(job_id) if step.after.stage(workspace) in READS_LEGACY_FIRST else None
        ledger.rebase(job_id, seen or raw)
        told = ledger.visible(workspace, job_id)
    return told


def _may_read_another(step: Step, workspace: str, job_id: str) -> bool:
    before, after = step.before, step.after
    down = after.stage(workspace).rung < before.stage(workspace).rung
    if step.kind == "move" or (step.kind == "gated" and down):
        return not before.aligned(workspace, job_id)
    # Past the fallback a job without its copy is unknown until it gets one.
    return (
        step.kind in ENGINES
        and before.read(workspace, job_id) is None
        and before.finding(workspace, job_id) == "missing"
    )


def nothing_comes_back(world: World, step: Step) -> None:
    """What was deleted or has expired has no copy, in either schema."""
    for workspace, job_id in _places(world):
        if (workspace, job_id) in world.ledger.gone:
            assert not step.after.valid_legacy(workspace, job_id), f"{job_id}: its legacy copy is back"
            copy = step.after.scoped.get((workspace, job_id))
            assert not (copy and copy.fields is not None), f"{job_id}: its workspace copy is back"


RULES: tuple[Rule, ...] = (
    copies_move_only_by_the_book,
    repair_follows_the_stage,
    present_copies_are_whole,
    both_copies_get_every_write,
    readers_see_what_was_told,
    nothing_comes_back,
)
