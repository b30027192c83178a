"""A job as a value: parsers, the status table, and hashes that are read whatever is in them."""

import math
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_jobs.errors import InvalidJobId, InvalidPayload, InvalidWorkspace
from relay_jobs.jobs import (
    SHOWN_FIELDS,
    TERMINAL,
    TRANSITIONS,
    Job,
    JobStatus,
    decode_id,
    encode_id,
    encode_json,
    job_from_row,
    parse_job_id,
    parse_status,
    parse_workspace,
)

GOOD_WORKSPACES = ["a", "A", "0", "WS_TEST", "a-", "a_", "3f2504e0-4f89-11d3-9a0c-0305e82c3301", "a" * 64]
BAD_WORKSPACES = [
    "",
    "-a",
    "_a",
    "a" * 65,
    "a:b",
    "a b",
    "a\n",
    "\na",
    "a.b",
    "é",
    "a*",
    "{a}",
    "a\x00",
    "\u0661",
    None,
    7,
]
BAD_IDS = ["", "\x00", "a\x1f", "a\n", "\x7f", "a" * 257, "é" * 129, "\ud800", None, 7, b"a"]


@pytest.mark.parametrize("text", GOOD_WORKSPACES)
def test_a_workspace_id(text: str) -> None:
    """UUIDs and the changelog's WS_TEST are workspaces."""
    assert parse_workspace(text) == text


@pytest.mark.parametrize("text", BAD_WORKSPACES)
def test_what_is_no_workspace_id(text: object) -> None:
    """Whatever could be read as another key or pattern is none."""
    with pytest.raises(InvalidWorkspace, match="1 to 64 letters, digits"):
        parse_workspace(text)


@pytest.mark.parametrize("text", ["a", "a:b", " ", "*", "é" * 128, "a" * 256, "\udcff", "\u0080"])
def test_a_job_id(text: str) -> None:
    """Colons, spaces, globs and bytes that are not UTF-8 may be in an id; its length counts in bytes."""
    assert parse_job_id(text) == text


@pytest.mark.parametrize("text", BAD_IDS, ids=lambda text: repr(text)[:12])
def test_what_is_no_job_id(text: object) -> None:
    """Empty, too long, control characters and what is no text are refused, by the name of the argument."""
    with pytest.raises(InvalidJobId, match="invalid worker id"):
        parse_job_id(text, "worker id")


@given(st.binary(max_size=300))
def test_any_bytes_survive_as_an_id(raw: bytes) -> None:
    """Ids come back byte for byte."""
    assert encode_id(decode_id(raw)) == raw


@given(st.binary(max_size=300))
def test_bytes_are_an_id_or_are_refused(raw: bytes) -> None:
    """The rule is 1 to 256 bytes, none of them a control character."""
    good = 1 <= len(raw) <= 256 and not any(byte < 0x20 or byte == 0x7F for byte in raw)
    try:
        parse_job_id(decode_id(raw))
    except InvalidJobId:
        assert not good
    else:
        assert good


def test_the_status_table_is_a_line_to_two_ends() -> None:
    """Nothing leads into pending and nothing out of an end; every edge has its reason."""
    assert all(old not in TERMINAL and new is not JobStatus.PENDING for old, new in TRANSITIONS)
    assert set(TERMINAL) == {JobStatus.COMPLETED, JobStatus.FAILED}
    assert all(TRANSITIONS.values())


@pytest.mark.parametrize("text", ["", "done", "error", "PENDING", None, 3, []])
def test_what_is_no_status(text: object) -> None:
    """The refusal names the statuses that exist."""
    with pytest.raises(InvalidPayload, match="allowed are pending, running, completed, failed"):
        parse_status(text)


def job_from_hash(job_id: bytes, workspace: str, found: dict[bytes, bytes]) -> Job:
    """The job of a whole hash."""
    return job_from_row(workspace, [b"", job_id, *(found.get(name.encode()) for name in SHOWN_FIELDS)])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(json_values)
def test_json_comes_back(value: object) -> None:
    """What is stored as JSON is what is read."""
    assert job_from_hash(b"j", "a", {b"result": encode_json(value, "result")}).result == value


@given(st.dictionaries(st.text(), st.integers(), min_size=2))
def test_equal_values_are_equal_bytes(value: dict[str, int]) -> None:
    """The order of keys makes no other payload."""
    assert encode_json(value, "x") == encode_json(dict(reversed(value.items())), "x")


@pytest.mark.parametrize("value", [math.nan, math.inf, {1, 2}, b"x", {(1,): 2}, {"a": 1, 2: 3}], ids=repr)
def test_what_is_no_json_is_refused(value: object) -> None:
    """The error names the argument, not the value."""
    with pytest.raises(InvalidPayload, match=r"^params cannot be stored as JSON \(\w+\)$"):
        encode_json(value, "params")


def test_a_value_that_holds_itself_is_refused() -> None:
    """Neither a circle nor a depth without end is stored."""
    circle: list[object] = []
    circle.append(circle)
    with pytest.raises(InvalidPayload):
        encode_json(circle, "params")
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(InvalidPayload):
        encode_json(deep, "params")


NAMES = [name.encode() for name in SHOWN_FIELDS]


@given(st.dictionaries(st.sampled_from(NAMES), st.binary(max_size=40)))
def test_any_hash_is_read(found: dict[bytes, bytes]) -> None:
    """No value of a record stops a reader."""
    job = job_from_hash(b"\xff", "acme", found)
    assert (job.job_id, job.workspace_id) == ("\udcff", "acme")
    assert isinstance(job.status, JobStatus)


@given(st.datetimes(timezones=st.just(UTC) | st.just(timezone(timedelta(hours=-7, minutes=-30)))))
def test_any_time_is_read_or_is_none(when: datetime) -> None:
    """A time with its offset comes back as the same instant, in UTC; one beyond the calendar is none."""
    read = job_from_hash(b"j", "a", {b"enqueued_at": when.isoformat().encode()}).enqueued_at
    assert read is None or (read == when and read.tzinfo is UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-02T03:04:05", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02 03:04:05.5+01:00", datetime(2026, 1, 2, 2, 4, 5, 500_000, tzinfo=UTC)),
        ("0001-01-01T00:00:00+05:00", None),
        ("9999-12-31T23:59:59-05:00", None),
        ("", None),
        ("soon", None),
    ],
)
def test_times_as_they_are_found(text: str, expected: datetime | None) -> None:
    """A time without an offset is UTC; what is none is none."""
    assert job_from_hash(b"j", "a", {b"started_at": text.encode()}).started_at == expected


@pytest.mark.parametrize(
    ("text", "status"), [("error", "failed"), ("", "pending"), ("odd", "pending"), ("running", "running")]
)
def test_statuses_as_they_are_found(text: str, status: str) -> None:
    """Old records' `error` is failed, and what nobody knows was never started."""
    assert job_from_hash(b"j", "a", {b"status": text.encode()}).status == status


@pytest.mark.parametrize("text", ["{broken", "[" * 100_000, "9" * 10_000, "'x'"], ids=lambda text: text[:8])
def test_what_is_no_json_stays_text(text: str) -> None:
    """A result that cannot be decoded is shown as it is."""
    assert job_from_hash(b"j", "a", {b"result": text.encode()}).result == text


def test_a_job_is_a_value() -> None:
    """A job that was read does not change."""
    job = job_from_hash(b"j", "a", {})
    with pytest.raises(FrozenInstanceError):
        job.status = JobStatus.RUNNING  # type: ignore[misc]
