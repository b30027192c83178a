"""What an update allows, refuses and answers, in every stage."""

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import redis

from relay_jobs import Job, JobStatus, JobStore, Stage
from relay_jobs.errors import ForeignJob, IllegalTransition, InvalidPayload, JobNotFound, UsageError
from tests.store.records import (
    STAGES,
    copy_at,
    dump,
    enqueue,
    legacy,
    put_both,
    put_legacy,
    put_scoped,
    put_where_read,
    scoped,
    set_stage,
)

At = Callable[..., JobStore]
LEGAL = {("pending", "running"), ("running", "completed"), ("running", "failed")}
SAME = {(status, status) for status in JobStatus}
ILLEGAL = sorted(set(product(JobStatus, JobStatus)) - LEGAL - SAME)


@pytest.mark.parametrize(("present", "wanted"), ILLEGAL)
def test_every_other_edge_is_refused(at: At, client: redis.Redis, present: str, wanted: str) -> None:
    """What the status table does not have is refused with both statuses in the message, and writes nothing."""
    for where in STAGES:
        client.flushall()
        put_both(client, "j", status=present)
        store = at(where)
        before = dump(client)
        with pytest.raises(IllegalTransition, match=rf"'j' is {present}; it cannot become {wanted}"):
            store.update_status("j", wanted, "acme")
        assert dump(client) == before


@pytest.mark.parametrize(("present", "wanted"), sorted(LEGAL))
def test_every_edge_of_the_table_is_allowed(staged: JobStore, client: redis.Redis, present: str, wanted: str) -> None:
    """Each edge of the status table moves the job, and its time is stamped."""
    put_both(client, "j", status=present)
    job = staged.update_status("j", wanted, "acme")
    assert job.status == wanted
    assert (job.started_at if wanted == "running" else job.finished_at) is not None


@pytest.mark.parametrize("status", JobStatus)
def test_the_same_status_again_is_no_change(staged: JobStore, client: redis.Redis, status: JobStatus) -> None:
    """The same status with the same outcome is answered with the job, and nothing is written."""
    terminal = status in {"completed", "failed"}
    put_both(client, "j", status=status, result='{"n":1}' if terminal else "", finished_at="2026-01-02T00:00:00+00:00")
    before = dump(client)
    job = staged.update_status("j", status, "acme", result={"n": 1} if terminal else None)
    assert job.status == status
    assert dump(client) == before


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        ("completed", {"result": 2}),
        ("completed", {}),
        ("failed", {"result": 1, "error": "other"}),
        ("failed", {"error": "boom"}),
    ],
)
def test_another_outcome_of_the_same_status_is_refused(
    staged: JobStore, client: redis.Redis, status: str, outcome: dict[str, object]
) -> None:
    """A finished job keeps its first outcome."""
    put_both(client, "j", status=status, result="1", error="boom" if status == "failed" else "")
    before = dump(client)
    with pytest.raises(IllegalTransition, match="with another outcome"):
        staged.update_status("j", status, "acme", **outcome)  # type: ignore[arg-type]
    assert dump(client) == before


def test_an_old_record_in_error_reads_as_failed(staged: JobStore, client: redis.Redis, stage: Stage) -> None:
    """The status `error` of old records is `failed` to readers and to the status table."""
    put_where_read(client, stage, "j", status="error", error="boom")
    job = staged.get_job("j", "acme")
    assert job is not None
    assert (job.status, job.error) == (JobStatus.FAILED, "boom")
    assert staged.update_status("j", "failed", "acme", error="boom").status == "failed"
    with pytest.raises(IllegalTransition):
        staged.update_status("j", "running", "acme")


def test_result_and_error_come_back_decoded(staged: JobStore) -> None:
    """What a worker reports is what readers see."""
    enqueue(staged, job_id="j", params=[1, {"ü": None}])
    staged.update_status("j", "running", "acme")
    staged.update_status("j", "failed", "acme", result={"at": [1, 2.5, "ü"]}, error="broken: ü")
    job = staged.get_job("j", "acme")
    assert isinstance(job, Job)
    assert (job.params, job.result, job.error) == ([1, {"ü": None}], {"at": [1, 2.5, "ü"]}, "broken: ü")


@pytest.mark.parametrize("workspace", ["acme", "other"])
def test_an_unknown_id_is_refused(staged: JobStore, client: redis.Redis, workspace: str) -> None:
    """An update of an id that nobody has makes no ghost."""
    before = dump(client)
    with pytest.raises(JobNotFound, match="no job 'ghost' in this workspace") as refused:
        staged.update_status("ghost", "running", workspace)
    assert type(refused.value) is JobNotFound
    assert dump(client) == before


def test_a_workspaces_own_job_that_the_stage_does_not_read_is_unknown(at: At, client: redis.Redis) -> None:
    """A legacy copy alone is no job in `new_only`; it is not called foreign to its own workspace."""
    put_legacy(client, "j")
    with pytest.raises(JobNotFound) as refused:
        at(Stage.NEW_ONLY).update_status("j", "running", "acme")
    assert type(refused.value) is JobNotFound


def test_a_foreign_job_is_refused_with_the_words_of_an_unknown_one(staged: JobStore, client: redis.Redis) -> None:
    """Another workspace's job is untouched, and the message tells nothing."""
    enqueue(staged, "acme", job_id="j")
    before = dump(client)
    with pytest.raises(JobNotFound) as refused:
        staged.update_status("j", "running", "other")
    assert str(refused.value) == str(JobNotFound("j"))
    assert dump(client) == before


@pytest.mark.parametrize("where", STAGES[:4], ids=str)
def test_a_foreign_job_has_an_error_of_its_own(at: At, where: Stage) -> None:
    """As long as the legacy copy says whose job it is, the error's class tells the two cases apart."""
    store = at(where)
    enqueue(store, "acme", job_id="j")
    with pytest.raises(ForeignJob):
        store.update_status("j", "running", "other")


@pytest.mark.parametrize("where", STAGES[:4], ids=str)
def test_the_workspace_may_be_taken_from_the_legacy_copy(at: At, client: redis.Redis, where: Stage) -> None:
    """An update without a workspace writes both copies, so that none is stale."""
    put_both(client, "j")
    assert at(where).update_status("j", "running").workspace_id == "acme"
    statuses = {copy_at(client, key)[b"status"] for key in (legacy("j"), scoped("j"))}
    assert statuses == ({b"running", b"pending"} if where is Stage.LEGACY else {b"running"})


def test_without_a_workspace_an_unknown_id_is_unknown(at: At, client: redis.Redis) -> None:
    """Neither an absent nor an invalid legacy record names a workspace."""
    store = at(Stage.DUAL_WRITE)
    put_legacy(client, "bad", workspace="not a workspace")
    for job_id in ("ghost", "bad"):
        before = dump(client)
        with pytest.raises(JobNotFound):
            store.update_status(job_id, "running")
        assert dump(client) == before


def test_without_a_workspace_an_invalid_record_does_not_say_whose_job_it_is(at: At, client: redis.Redis) -> None:
    """A legacy record of another id names a workspace, and is no evidence for the copy under that name."""
    store = at(Stage.NEW_FIRST)
    put_legacy(client, "j")
    client.hset(legacy("j"), "job_id", "other")
    put_scoped(client, "j")
    before = dump(client)
    with pytest.raises(JobNotFound):
        store.update_status("j", "running")
    assert dump(client) == before


def test_without_a_workspace_the_seal_refuses(at: At, client: redis.Redis) -> None:
    """In `sealed` the legacy copy is no evidence, whether the default or the workspace itself is sealed."""
    put_both(client, "j")
    store = at(Stage.SEALED)
    with pytest.raises(UsageError, match="workspace_id is required in stage sealed"):
        store.update_status("j", "running")
    set_stage(client, Stage.NEW_ONLY)
    set_stage(client, Stage.SEALED, "acme")
    with pytest.raises(UsageError, match="workspace_id is required in stage sealed"):
        store.update_status("j", "running")
    assert copy_at(client, scoped("j"))[b"status"] == b"pending"


UNFIT: list[tuple[str, dict[str, Any]]] = [
    ("running", {"result": 1}),
    ("pending", {"error": "x"}),
    ("completed", {"error": "x"}),
    ("completed", {"result": {1, 2}}),
    ("completed", {"result": float("nan")}),
    ("failed", {"error": 7}),
    ("failed", {"error": "\ud800"}),
    ("done", {}),
]


def test_an_outcome_that_does_not_fit_is_refused(staged: JobStore, client: redis.Redis) -> None:
    """A result goes with an end, an error with a failure, both must be storable; nothing is written else."""
    put_both(client, "j", status="running")
    before = dump(client)
    for status, outcome in UNFIT:
        with pytest.raises(InvalidPayload):
            staged.update_status("j", status, "acme", **outcome)
    assert dump(client) == before


def test_running_again_is_no_change_whatever_the_record_holds(staged: JobStore, client: redis.Redis) -> None:
    """A record of old code may have a result before its end; the same status again is no other outcome."""
    put_both(client, "j", status="running", result='{"part": 1}', error="so far")
    before = dump(client)
    assert staged.update_status("j", "running", "acme").status == "running"
    assert dump(client) == before


@pytest.mark.parametrize(("status", "written"), [("completed", set()), ("failed", {b"error"})])
def test_only_a_failure_adds_an_error(staged: JobStore, client: redis.Redis, status: str, written: set[bytes]) -> None:
    """The hash gets no field that the outcome does not need."""
    put_both(client, "j", status="running")
    names = set(copy_at(client, legacy("j")))
    staged.update_status("j", status, "acme", error="broken" if written else None)
    for key in (legacy("j"), scoped("j")):
        assert set(copy_at(client, key)) - names <= written
    assert any(set(copy_at(client, key)) - names == written for key in (legacy("j"), scoped("j")))


def test_an_update_keeps_unknown_fields(staged: JobStore, client: redis.Redis, stage: Stage) -> None:
    """Fields that the library does not know stay, byte for byte."""
    put_where_read(client, stage, "j", trace="\x00\x7f")
    staged.update_status("j", "running", "acme")
    for key in (legacy("j"), scoped("j")):
        if client.exists(key):
            assert copy_at(client, key)[b"trace"] == b"\x00\x7f"
