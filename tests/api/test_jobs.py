"""GET /ai/jobs/{job_id} shows the documented fields of one's own jobs, and nothing beside them."""

import json
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from relay_jobs import JobStore, Stage
from relay_jobs.api_models import JobPage, JobView
from tests.api.conftest import Api, action
from tests.store.records import SECRET, enqueue, fields, legacy, put_legacy, scoped, set_stage

pytestmark = pytest.mark.redis

SHOWN = {"job_id", "status", "action", "result", "error", "duration_ms", "enqueued_at", "started_at", "finished_at"}


def shown(api: Api, job_id: str, workspace: str = "acme") -> Any:
    answer = api.http.get(f"/ai/jobs/{quote(job_id, safe='', errors='surrogateescape')}", headers=api.key(workspace))
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("stage", list(Stage))
def test_a_job_from_its_queue_to_its_end(api: Api, store: JobStore, stage: Stage) -> None:
    """Each status with its times; the duration is there once the job has ended."""
    set_stage(api.redis, stage)
    (job_id,) = api.execute(api.key())
    pending = shown(api, job_id)
    assert set(pending) == SHOWN
    assert (pending["job_id"], pending["status"], pending["action"]) == (job_id, "pending", "send")
    nothing = ("result", "error", "duration_ms", "started_at", "finished_at")
    assert [pending[name] for name in nothing] == [None] * 5
    store.claim("w")
    running = shown(api, job_id)
    assert (running["status"], running["duration_ms"]) == ("running", None)
    store.update_status(job_id, "completed", "acme", result={"sent": [1]})
    ended = shown(api, job_id)
    assert (ended["status"], ended["result"]) == ("completed", {"sent": [1]})
    took = datetime.fromisoformat(ended["finished_at"]) - datetime.fromisoformat(ended["started_at"])
    assert ended["duration_ms"] == round(took / timedelta(milliseconds=1))


def test_durations(api: Api) -> None:
    """Milliseconds from start to end, none while one of them is missing, never below 0."""
    times = [
        ("2026-01-02T03:04:05+00:00", "2026-01-02T03:04:07.5004+00:00", 2500),
        ("2026-01-02T05:04:05+02:00", "2026-01-02T03:04:05+00:00", 0),
        ("2026-01-02T03:04:06+00:00", "2026-01-02T03:04:05+00:00", 0),
        ("", "2026-01-02T03:04:05+00:00", None),
        ("2026-01-02T03:04:05+00:00", "", None),
        ("yesterday", "2026-01-02T03:04:05+00:00", None),
    ]
    for started, finished, duration in times:
        put_legacy(api.redis, "j", status="completed", started_at=started, finished_at=finished)
        assert shown(api, "j")["duration_ms"] == duration, (started, finished)


def test_nothing_beside_the_documented_fields(api: Api) -> None:
    """Neither params, actor, workspace, provider nor a field that nobody knows is in any answer."""
    hidden = {name: SECRET for name in ("params", "actor_id", "action_provider", "note", SECRET)}
    put_legacy(api.redis, "j", **hidden)
    mine = api.key()
    for path in ("/ai/jobs/j", "/ai/jobs"):
        answer = api.http.get(path, headers=mine)
        assert answer.status_code == 200
        assert SECRET not in answer.text
        (JobView if path.endswith("j") else JobPage).model_validate_json(answer.content)
    assert set(shown(api, "j")) == SHOWN


@pytest.mark.parametrize(
    "job_id",
    ["a:b", "a b", "a/b", "/", "//x", "a%2Fb", "*", "?", "a?b#c", "..", "é", "𝄞" * 64, "x" * 256, "a\udcffb", "&=+;"],
    ids=repr,
)
def test_ids_of_every_kind(api: Api, job_id: str) -> None:
    """Whatever an id may hold is found by its bytes in the path, and listed."""
    raw = job_id.encode("utf-8", "surrogateescape")
    api.redis.hset(legacy(raw), mapping={**fields(job_id), "job_id": raw})
    path = "/ai/jobs/" + "".join(f"%{byte:02X}" for byte in raw)
    answer = api.http.get(path, headers=api.key())
    assert answer.status_code == 200
    assert answer.json()["job_id"] == job_id
    assert [job["job_id"] for job in api.walk(api.key())] == [job_id]


@pytest.mark.parametrize("job_id", ["x" * 257, "é" * 129, "a\x01", "", "\x7f"], ids=repr)
def test_ids_that_no_job_can_have(api: Api, job_id: str) -> None:
    """They are unknown like any other."""
    ghost = api.http.get("/ai/jobs/ghost", headers=api.key())
    answer = api.http.get(f"/ai/jobs/{quote(job_id, safe='')}", headers=api.key())
    assert (answer.status_code, answer.content) == (404, ghost.content)


@pytest.mark.parametrize("raw", ["NaN", "[Infinity]", '{"a":-Infinity}', "not json", "{", "1" * 5000])
def test_results_that_are_no_json_are_text(api: Api, raw: str) -> None:
    """An answer is JSON whatever an old worker has stored."""
    put_legacy(api.redis, "j", status="completed", result=raw)
    put_legacy(api.redis, "k", status="completed", result="1")

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    for path in ("/ai/jobs/j", "/ai/jobs"):
        body = json.loads(api.http.get(path, headers=api.key()).content, parse_constant=refuse)
        found = {job["job_id"]: job["result"] for job in body.get("jobs", [body])}
        assert isinstance(found["j"], str)
        assert found.get("k", 1) == 1


def test_results_of_every_depth(api: Api) -> None:
    """However deep a result is nested, its job can be read and listed."""
    for depth in (10, 500, *range(880, 1010), 5_000):
        put_legacy(api.redis, "j", status="completed", result="[" * depth + "]" * depth)
        for path in ("/ai/jobs/j", "/ai/jobs"):
            assert api.http.get(path, headers=api.key()).status_code == 200, depth


def test_malformed_records_are_shown_or_unknown(api: Api, store: JobStore) -> None:
    """A record that is no job is unknown; one with odd values is shown as far as it can be read."""
    api.redis.set("ai:jobs:text", SECRET)
    api.redis.hset("ai:jobs:bare", mapping={"status": "completed"})
    api.redis.hset("ai:jobs:odd", mapping=fields("odd", status="\x00", result=b"\xff{", enqueued_at="never"))
    api.redis.rpush(scoped("list"), SECRET)
    mine = api.key()
    assert [api.http.get(f"/ai/jobs/{name}", headers=mine).status_code for name in ("text", "bare", "list")] == [
        404
    ] * 3
    assert shown(api, "odd")["status"] == "pending"
    assert enqueue(store) in {job["job_id"] for job in api.walk(mine)}


def test_what_is_stored_is_what_is_shown_in_a_list(api: Api, store: JobStore) -> None:
    """A job looks the same in a listing as alone."""
    ids = api.execute(api.key(), action(), action(action="other"))
    store.update_status(ids[1], "running", "acme")
    store.update_status(ids[1], "failed", "acme", error="no")
    listed = {job["job_id"]: job for job in api.walk(api.key())}
    assert listed == {job_id: shown(api, job_id) for job_id in ids}
    assert listed[ids[1]]["error"] == "no"
