"""What each check shows of a fault, in a few words."""

from collections import Counter
from collections.abc import Callable

import redis

from relay_jobs import Stage
from relay_jobs.errors import Refused, WrongType
from relay_jobs.jobs import SHOWN_FIELDS, job_from_row
from relay_jobs.progress import Books, Verdict
from tests.engines.world import Rests, World
from tests.faults.fault import Plant
from tests.faults.plants import NEW, OLD, lay
from tests.store.records import Fields, complete_index, copy_at, new_store, set_stage

NOTHING = "-"
_FOUND = ("missing", "different", "extra", "quarantined", "errors", "malformed", "unindexed", "third_generation")
_OUTCOMES = ("migrated", "conflict", "invalid", "errors")
_JOBS = 3


class Site:
    """A server in a stage, laid out anew before each look."""

    def __init__(self, client: redis.Redis, stage: Stage) -> None:
        self.client, self.stage = client, stage

    def planted(self, plant: Plant) -> World:
        """The jobs, a complete pass over them, and then the fault."""
        self.client.flushdb()
        lay(self.client)
        set_stage(self.client, self.stage)
        complete_index(self.client)
        plant(self.client)
        return World(self.client, Rests())


def verdict_words(verdict: Verdict) -> str:
    """Every count that is not 0, with the reasons of its samples."""
    parts = []
    for finding in _FOUND:
        count = getattr(verdict, finding)
        if not count:
            continue
        reasons = Counter(sample.reason for sample in verdict.samples if sample.finding == finding)
        why = f" ({', '.join(sorted(reasons))})" if reasons else ""
        parts.append(f"{finding}{why}" + (f", {count} times" if count > 1 else ""))
        assert sum(reasons.values()) in {0, count}, "as many samples as findings, or none of that kind"
    return " + ".join(parts) or NOTHING


def verify(site: Site, plant: Plant) -> str:
    """What a verification finds."""
    return verdict_words(site.planted(plant).verify())


def repair(site: Site, plant: Plant) -> str:
    """How many jobs a repair has mended, why not the others, and what the next verification finds."""
    world = site.planted(plant)
    before = _copies(site.client)
    mended = world.verify(repair=True)
    after = verdict_words(world.verify())
    if mended.repaired:
        assert after == NOTHING
        return f"mended{_winner(before, _copies(site.client))}"
    said = verdict_words(mended)
    if said == NOTHING and after == NOTHING:
        return NOTHING
    assert _without_reasons(said) == _without_reasons(after)
    return f"stays: {said}"


Copies = tuple[tuple[Fields, int], tuple[Fields, int]]


def _copies(client: redis.Redis) -> Copies:
    """Both copies of the job, with their expiry."""
    old, new = (
        (copy_at(client, key) if client.type(key) == b"hash" else {}, client.pexpiretime(key)) for key in (OLD, NEW)
    )
    return old, new


def _winner(before: Copies, after: Copies) -> str:
    """Which copy a repair took for the right one."""
    if before == after:
        return ""
    if not after[1][0]:
        return ": removed"
    kept = [name for name, old, new in zip(("legacy", "workspace"), before, after, strict=True) if old == new]
    assert after[0] == after[1]
    return f": the {kept[0]} copy is right"


def _without_reasons(words: str) -> list[str]:
    return [part.split(" (")[0] for part in words.split(" + ")]


def backfill(site: Site, plant: Plant) -> str:
    """The books of a pass and of a dry run before it, which have to agree."""
    world = site.planted(plant)
    planned = world.dry_run()
    done = world.backfill().total
    assert planned == done
    return books_words(done)


def books_words(books: Books) -> str:
    """Every count that says of a job that it was not simply there."""
    assert books.balanced
    parts = [name for name in _OUTCOMES if getattr(books, name)]
    left = _JOBS - books.scanned
    return " + ".join([*parts, *(["not met"] if left > 0 else [])]) or NOTHING


def preflight(site: Site, plant: Plant) -> str:
    """What a preflight counts that is no job with its copy."""
    found = site.planted(plant).migration.preflight(mode="dry_run").survey
    parts = [f"invalid ({reason})" for reason in found.invalid]
    parts += ["partial"] * bool(found.partial)
    parts += ["other type"] * bool(found.other_type)
    parts += ["third generation"] * bool(found.third_generation)
    names = sorted(set(found.legacy) | set(found.copies))
    behind = {name for name in names if found.copies.get(name, 0) < found.legacy.get(name, 0)}
    ahead = {name for name in names if found.copies.get(name, 0) > found.legacy.get(name, 0)}
    parts += ["fewer copies than jobs"] * bool(behind) + ["more copies than jobs"] * bool(ahead)
    return " + ".join(parts) or NOTHING


_GATES = {Stage.DUAL_WRITE: Stage.NEW_FIRST, Stage.NEW_FIRST: Stage.NEW_ONLY, Stage.NEW_ONLY: Stage.SEALED}


def gate(site: Site, plant: Plant) -> str:
    """Whether the gate of the next rung opens after a verification of what was planted."""
    target = _GATES.get(site.stage)
    if target is None:
        return NOTHING
    world = site.planted(lambda _: None)
    world.backfill()
    if target is Stage.NEW_FIRST:
        _move(world, target, legacy_writers_gone=True)
    plant(world.client)
    world.verify()
    reasons = [reason for reason in _move(world, target) if "stage sealed needs" not in reason]
    return "refused" if reasons else "opens"


def _move(world: World, target: Stage, *, legacy_writers_gone: bool = False) -> tuple[str, ...]:
    try:
        world.migration.set_stage(target, legacy_writers_gone=legacy_writers_gone)
    except Refused as error:
        return error.reasons
    return ()


def get_job(site: Site, plant: Plant) -> str:
    """What a reader of the job is given."""
    site.planted(plant)
    job = new_store(site.client).get_job("j", "acme")
    if job is None:
        return "no job"
    copies = [copy_at(site.client, key) for key in (OLD, NEW) if site.client.type(key) == b"hash"]
    whole = [copy for copy in copies if copy.get(b"workspace_id") == b"acme" and copy.get(b"job_id") == b"j"]
    if len(whole) == 2 and whole[0] != whole[1]:
        read = whole[0 if site.stage is Stage.DUAL_WRITE else 1]
        assert job == job_from_row("acme", [b"", b"j", *(read.get(name.encode()) for name in SHOWN_FIELDS)])
        return "the copy that is read"
    site.planted(lambda _: None)
    return "the job" if job == new_store(site.client).get_job("j", "acme") else "what both copies say"


def list_jobs(site: Site, plant: Plant) -> str:
    """Whom a listing of the workspace holds."""
    site.planted(plant)
    store, listed, cursor = new_store(site.client), [], None
    try:
        while True:
            page = store.list_jobs("acme", cursor=cursor)
            listed += [job.job_id for job in page.items]
            cursor = page.next_cursor
            if cursor is None:
                break
    except WrongType:
        return "refused, names the key"
    assert len(listed) == len(set(listed))
    wrong = set(listed) ^ {"j", "expiring"}
    assert wrong <= {"j"}
    left = site.client.zscore("ai:index:acme", "ghost") if site.client.type("ai:index:acme") == b"zset" else None
    assert left is None, "the entry of no job is tidied up"
    return "without the job" if wrong else "every job"


def claim(site: Site, plant: Plant) -> str:
    """What the queue gives a worker, to its end."""
    site.planted(plant)
    store = new_store(site.client)
    job = store.claim("worker")
    assert store.claim("worker") is None
    assert site.client.llen("ai:queue:pending") == 0
    if job is None:
        return "no job"
    assert job.job_id == "j"
    return "the job"


Check = Callable[[Site, Plant], str]
ALL: dict[str, Check] = {
    "verify": verify,
    "repair": repair,
    "backfill": backfill,
    "preflight": preflight,
    "gate": gate,
    "get_job": get_job,
    "list_jobs": list_jobs,
    "claim": claim,
}
