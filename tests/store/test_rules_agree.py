"""The rules inside the scripts are those of Python: seen from outside, the two never disagree."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from relay_jobs import JobStore, Settings, Stage
from relay_jobs.errors import InvalidJobId, InvalidWorkspace, JobNotFound
from relay_jobs.jobs import decode_id, parse_job_id, parse_workspace
from relay_jobs.keys import index
from tests.servers import ANY, Running
from tests.store.records import legacy, new_store, set_stage

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EXAMPLES = settings(max_examples=60)


@pytest.fixture(scope="module", params=[pytest.param(name, marks=pytest.mark.redis) for name in ANY])
def dual(request: pytest.FixtureRequest, running: Running) -> tuple[redis.Redis, JobStore]:
    """A store in `dual_write`, kept over all examples."""
    client = running.server(request.param).client()
    set_stage(client, Stage.DUAL_WRITE)
    return client, new_store(client)


def is_workspace(text: str) -> bool:
    try:
        parse_workspace(text)
    except InvalidWorkspace:
        return False
    return True


def is_id(raw: bytes) -> bool:
    try:
        parse_job_id(decode_id(raw))
    except InvalidJobId:
        return False
    return True


near_workspaces = st.text("aZ09_-:.* \n\x00é", max_size=8) | st.integers(60, 70).map("a".__mul__)


@given(text=near_workspaces)
@EXAMPLES
def test_a_workspace_in_a_record(dual: tuple[redis.Redis, JobStore], text: str) -> None:
    """A legacy record has an owner exactly if Python takes its workspace_id for one."""
    client, store = dual
    client.delete(legacy("j"))
    client.hset(legacy("j"), mapping={"workspace_id": text, "status": "running"})
    if is_workspace(text):
        assert store.update_status("j", "running").workspace_id == text
    else:
        with pytest.raises(JobNotFound):
            store.update_status("j", "running")


near_ids = (
    st.binary(max_size=12) | st.integers(250, 260).map(b"x".__mul__) | st.sampled_from([b"\x1f", b"\x7f", b"a\n"])
)


@given(raw=near_ids)
@EXAMPLES
def test_an_id_in_the_queue(dual: tuple[redis.Redis, JobStore], raw: bytes) -> None:
    """A queued legacy record is handed out exactly if Python takes its id for one, and set aside else."""
    client, store = dual
    client.delete("ai:queue:pending", "ai:migration:set_aside", "ai:migration:claims", "ai:migration:claimants")
    client.hset(legacy(raw), mapping={"workspace_id": "acme", "status": "pending"})
    client.rpush("ai:queue:pending", raw)
    job = store.claim("w")
    if is_id(raw):
        assert job is not None
        assert job.job_id == decode_id(raw)
    else:
        assert job is None
        assert client.lrange("ai:migration:set_aside", 0, -1) == [raw]
    client.delete(legacy(raw))


zones = st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30)), timezone(-timedelta(hours=11))])
times = st.datetimes(datetime(1970, 1, 3), datetime(2250, 1, 1), timezones=zones)  # noqa: DTZ001 -- bounds are naive


@given(when=times, style=st.sampled_from(["T", " "]), short=st.booleans())
@EXAMPLES
def test_the_score_of_a_time(dual: tuple[redis.Redis, JobStore], when: datetime, style: str, short: bool) -> None:
    """The index orders by the microsecond that Python reads, whatever the offset and the digits."""
    client, store = dual
    text = when.isoformat(sep=style, timespec="seconds" if short else "auto")
    client.delete(legacy("t"), "ai:job:acme:t", index("acme"))
    client.hset(legacy("t"), mapping={"workspace_id": "acme", "status": "pending", "enqueued_at": text})
    read = store.update_status("t", "running", "acme").enqueued_at
    assert read is not None
    assert client.zscore(index("acme"), "t") == (read - EPOCH) // timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("2026-01-02T03:04:05Z", 1767323045000000),
        ("2026-01-02T03:04:05", 1767323045000000),
        ("2026-01-02T03:04:05.1234567+00:00", 1767323045123456),
        ("2026-01-02T03:04:05.5", 1767323045500000),
        ("2024-02-29T00:00:00+00:00", 1709164800000000),
        ("1969-12-31T23:59:59+00:00", -1000000),
        ("", 0),
        ("yesterday", 0),
        ("9999-12-31T23:59:59+00:00", 9007199254740991),
        ("9999-12-31T23:59:59.999999+00:00", 9007199254740991),
        ("0001-01-01T00:00:00.000000+00:00", -9007199254740991),
        ("1969-12-31T23:59:59.999999+00:00", -1),
        ("2024-02-29T23:59:59.000001+00:00", 1709251199000001),
        ("2026-01-02T03:04:05.000006-07:00", 1767348245000006),
    ],
)
def test_scores_of_times_as_they_are_found(dual: tuple[redis.Redis, JobStore], text: str, score: int) -> None:
    """Times without an offset are UTC, what is no time is the oldest, and all are exact integers."""
    client, store = dual
    client.delete(legacy("t"), "ai:job:acme:t", index("acme"))
    client.hset(legacy("t"), mapping={"workspace_id": "acme", "status": "pending", "enqueued_at": text})
    store.update_status("t", "running", "acme")
    assert client.zscore(index("acme"), "t") == score


@given(when=times)
@EXAMPLES
def test_the_score_of_a_new_job(dual: tuple[redis.Redis, JobStore], when: datetime) -> None:
    """A job is indexed by the time that it carries, whatever zone the process's clock is in."""
    client, _ = dual
    store = JobStore(client, Settings(), now=lambda: when)
    made = store.enqueue("acme", "mail", "send", {}, "u")
    assert client.zscore(index("acme"), made.job_id) == (when - EPOCH) // timedelta(microseconds=1)
    job = store.get_job(made.job_id, "acme")
    assert job is not None
    assert job.enqueued_at == when
