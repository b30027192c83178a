"""What runs inside the server follows the table in Python: both say the same of any two copies."""

from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from relay_jobs.parity import Copy, Finding, compare, is_whole, legacy_fault
from relay_jobs.progress import Books
from tests.engines.world import World
from tests.store.records import legacy, scoped

FAR = 4_102_444_800_000  # 2100, in milliseconds

WORKSPACES = [b"acme", b"WS_TEST", b"beta", b"", b"a:b", b"-x", b"w" * 64, b"w" * 65, b"acme\n", b"\xff", b"acme "]
IDS = [b"j", b"a:b", b"acme:j", b"*", b" ", b"\xff\xfe", b"x" * 256, b"x" * 257, b"\x1f", b"j\x7f", b"", b"\x00"]
NAMES = [b"status", b"result", b"\xff", b"", b"enqueued_at", b"params"]
VALUES = [b"", b"pending", b"\x00\xff", b"x" * 100, b"2026-01-02T03:04:05+00:00"]

fields = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(VALUES), max_size=4)
expiries = st.sampled_from([-1, -1, FAR, FAR + 1])


@st.composite
def hashes(draw: st.DrawFn, job_id: bytes, workspaces: list[bytes]) -> Copy:
    """A hash that may or may not be a job's."""
    found = dict(draw(fields))
    workspace = draw(st.sampled_from([*workspaces, None]))
    named = draw(st.sampled_from([job_id, job_id, b"other", b"", None]))
    found |= {} if workspace is None else {b"workspace_id": workspace}
    found |= {} if named is None else {b"job_id": named}
    return Copy(found or {b"status": b"pending"}, draw(expiries))


@st.composite
def pairs(draw: st.DrawFn) -> tuple[bytes, Copy | None, Copy | None]:
    """An id, what stands under its legacy key, and under the workspace key that this names (or acme's)."""
    job_id = draw(st.sampled_from(IDS))
    left = draw(st.one_of(st.none(), st.just(Copy(None)), hashes(job_id, WORKSPACES)))
    same = st.just(left) if left else st.nothing()
    nearby = hashes(job_id, [named(left), named(left), b"beta"])
    return job_id, left, draw(st.one_of(st.none(), st.just(Copy(None)), nearby, same))


def named(copy: Copy | None) -> bytes:
    """The workspace under whose key the copy is looked for."""
    found = (copy.fields or {}).get(b"workspace_id", b"") if copy else b""
    return found if found in {b"acme", b"WS_TEST", b"beta", b"w" * 64} else b"acme"


def put(client: redis.Redis, key: bytes, copy: Copy | None) -> None:
    """One side as it is meant."""
    if copy is None:
        return
    if copy.fields is None:
        client.rpush(key, "x")
        return
    client.hset(key, mapping=dict(copy.fields))  # type: ignore[arg-type]
    if copy.expires_at > 0:
        client.pexpireat(key, copy.expires_at)


def expected(job_id: bytes, left: Copy | None, right: Copy | None) -> dict[str, int]:
    """Findings by the Python table."""
    workspace = named(left)
    counts = dict.fromkeys((finding.value for finding in Finding), 0)
    valid = left is not None and legacy_fault(job_id, left) is None
    if left is not None:
        counts[compare(job_id, left, right).value] += 1
    # The other direction: a whole copy without a valid job of that workspace; it needs an id to be told apart.
    if right is not None and is_whole(workspace, job_id, right) and not valid and job_id:
        counts[compare(job_id, None, right).value] += 1
    return counts


def outcome(job_id: bytes, left: Copy | None, right: Copy | None) -> dict[str, int]:
    """Books of a pass by the Python table."""
    if left is None:
        return {}
    match compare(job_id, left, right):
        case Finding.QUARANTINED:
            name = "invalid"
        case Finding.EQUAL:
            name = "exists"
        case Finding.DIFFERENT:
            name = "conflict"
        case _:
            name = "conflict" if right is not None and right.fields is None else "migrated"
    return {"scanned": 1, name: 1}


@pytest.mark.properties
@given(pair=pairs())
@example(pair=(b"j", Copy({b"workspace_id": b"acme"}), Copy({b"workspace_id": b"acme"})))
@example(pair=(b"j", Copy({b"workspace_id": b"acme"}, FAR), Copy({b"workspace_id": b"acme"}, FAR + 1)))
@settings(
    max_examples=120,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_server_and_table_agree(world: World, pair: tuple[bytes, Copy | None, Copy | None]) -> None:
    """On what is valid, whole and equal: a dry run, a verification, a pass, and a verification after it."""
    job_id, left, right = pair
    client, workspace = world.client, named(left).decode()
    client.flushdb()
    client.hset("ai:migration:stages", mapping={"*": "dual_write", "*epoch": "1"})
    put(client, legacy(job_id), left)
    put(client, scoped(job_id, workspace), right)
    assert _findings(world) == expected(job_id, left, right)
    books = Books(**outcome(job_id, left, right))
    assert world.dry_run() == books
    assert world.backfill().books == books
    after = left if books.migrated else right
    assert _findings(world) == expected(job_id, left, after)


def _findings(world: World) -> dict[str, Any]:
    verdict = world.verify()
    return {finding.value: getattr(verdict, finding.value) for finding in Finding}
