"""A process without the library: its commands come one after another, in the stages that allow it; and time."""

from collections.abc import Callable
from contextlib import suppress

from redis.exceptions import ResponseError

from tests.interleavings.copies import NEVER, READS_LEGACY_FIRST
from tests.interleavings.ledger import Fields
from tests.interleavings.operations import Operation
from tests.interleavings.states import LATER
from tests.interleavings.world import Process
from tests.store.records import fields, legacy, scoped

QUEUE = "ai:queue:pending"


def _at_once(process: Process, what: str, act: Callable[[], object]) -> None:
    """One command of it; past dual_write, or once an operator has said so, there is no such process any more."""
    process.ask(what)
    world = process.world
    if world.stage in READS_LEGACY_FIRST and not world.old_processes_are_gone:
        act()


def put(process: Process, changes: Fields, job_id: str = "j") -> None:
    """HSET, whatever is there."""

    def act() -> None:
        process.world.main.hset(legacy(job_id), mapping=dict(changes))
        process.ledger.old_set(job_id, changes)

    _at_once(process, f"HSET legacy {b' '.join(changes).decode()}", act)


def put_scoped(process: Process, changes: Fields, job_id: str = "j") -> None:
    """HSET of the workspace copy, as the predecessor does it after the legacy one: blindly."""

    def act() -> None:
        with suppress(ResponseError):
            process.world.main.hset(scoped(job_id), mapping=dict(changes))
        process.ledger.made_again(job_id)

    _at_once(process, "HSET workspace copy", act)


def remove_field(process: Process, name: bytes = b"actor_id", job_id: str = "j") -> None:
    """HDEL of one field."""

    def act() -> None:
        process.world.main.hdel(legacy(job_id), name)
        process.ledger.old_unset(job_id, name)

    _at_once(process, f"HDEL legacy {name.decode()}", act)


def remove(process: Process, job_id: str = "j") -> None:
    """DEL of the legacy key."""

    def act() -> None:
        process.world.main.delete(legacy(job_id))
        process.ledger.old_delete(job_id)

    _at_once(process, "DEL legacy", act)


def renew(process: Process, expiry: int = LATER, job_id: str = "j") -> None:
    """Another expiry, or none."""

    def act() -> None:
        if expiry == NEVER:
            process.world.main.persist(legacy(job_id))
        else:
            process.world.main.pexpireat(legacy(job_id), expiry)
        process.ledger.expiry_set(job_id, expiry)

    _at_once(process, f"expiry of legacy {expiry}", act)


def push(process: Process, job_id: str = "j") -> None:
    """RPUSH of the bare id."""

    def act() -> None:
        process.world.main.rpush(QUEUE, job_id)
        process.ledger.queued.add(job_id)

    _at_once(process, "RPUSH", act)


def new_fields(process: Process, job_id: str = "j", workspace: str = "acme") -> dict[bytes, bytes]:
    """A job as such a process writes it."""
    made = fields(job_id, workspace, params=process.nth())
    return {name.encode(): value.encode() for name, value in made.items() if isinstance(value, str)}


def enqueue(process: Process, job_id: str = "j", workspace: str = "acme") -> None:
    """HSET, then RPUSH."""
    put(process, new_fields(process, job_id, workspace), job_id)
    push(process, job_id)


def enqueue_at_once(process: Process, job_id: str = "j") -> None:
    """Both in one MULTI."""
    made = new_fields(process, job_id)

    def act() -> None:
        pipe = process.world.main.pipeline(transaction=True)
        pipe.hset(legacy(job_id), mapping=made)
        pipe.rpush(QUEUE, job_id)
        pipe.execute()
        process.ledger.old_set(job_id, made)
        process.ledger.queued.add(job_id)

    _at_once(process, "MULTI HSET legacy RPUSH", act)


def complete(process: Process, job_id: str = "j") -> None:
    """Status first, result after it."""
    put(process, {b"status": b"completed"}, job_id)
    put(process, {b"result": process.nth().encode(), b"finished_at": b"then"}, job_id)


def complete_in_both(process: Process, job_id: str = "j") -> None:
    """The predecessor with its flag on: the legacy copy, then the workspace copy, each in one command."""
    changes = {b"status": b"completed", b"result": process.nth().encode()}
    put(process, changes, job_id)
    put_scoped(process, changes, job_id)


def work_in_both(process: Process, job_id: str = "j") -> None:
    """The same with two updates, one right after the other."""
    for status in (b"running", b"completed"):
        put(process, {b"status": status}, job_id)
        put_scoped(process, {b"status": status}, job_id)


def recreate(process: Process, job_id: str = "j") -> None:
    """DEL, then HSET."""
    remove(process, job_id)
    put(process, new_fields(process, job_id), job_id)


def work(process: Process) -> None:
    """LPOP, then two writes."""
    taken: list[bytes] = []

    def pop() -> None:
        entry = process.world.main.lpop(QUEUE)
        if isinstance(entry, bytes):
            taken.append(entry)
            process.ledger.queued.discard(entry.decode())

    _at_once(process, "LPOP", pop)
    if taken and not taken[0].startswith(b"\x1f"):
        put(process, {b"status": b"running", b"started_at": b"then"}, taken[0].decode())
        put(process, {b"status": b"completed", b"result": b'"old"'}, taken[0].decode())


def time_passes(process: Process, job_id: str = "j") -> None:
    """The expiry of a job comes: every key of it that ends by then is over, by the server's own clock."""
    process.ask("time passes")
    process.world.let_expire(job_id)


def lie(process: Process, job_id: str = "j") -> None:
    """A write that the ledger is not told of: to see a run fail."""
    _at_once(process, "HSET legacy, untold", lambda: process.world.main.hset(legacy(job_id), "status", "lost"))


LIES = (Operation("old_lies", lie, "old"),)
OLD = (
    Operation("old_complete", complete, "old"),
    Operation("old_complete_both", complete_in_both, "old"),
    Operation("old_work_both", work_in_both, "old"),
    Operation("old_hdel", remove_field, "old"),
    Operation("old_delete", remove, "old"),
    Operation("old_renew", renew, "old"),
    Operation("old_persist", lambda p: renew(p, NEVER), "old"),
    Operation("old_enqueue", enqueue, "old"),
    Operation("old_enqueue_multi", enqueue_at_once, "old"),
    Operation("old_recreate", recreate, "old"),
    Operation("old_work", work, "old"),
)
TIME = (Operation("expire", time_passes, "clock"),)
