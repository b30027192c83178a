"""GET /ai/jobs walks the workspace's jobs by cursors that are opaque, signed, and bound to workspace and status."""

import base64
from collections.abc import Callable

import pytest
import redis

from relay_jobs import JobStore, Stage, keys
from tests.api.conftest import Api, action
from tests.store.records import complete_index, put_legacy, set_stage

pytestmark = pytest.mark.redis

GARBAGE = ["", "x", "null", "0", "AAAA", "A" * 5000, "é", "../..", "%00", "e30", base64.b64encode(b"[" * 900).decode()]


def cursor(api: Api, headers: dict[str, str], **query: str | int) -> str:
    """A cursor in the middle of a listing."""
    found: str = api.http.get("/ai/jobs", headers=headers, params={"limit": 2, **query}).json()["next_cursor"]
    assert found
    return found


@pytest.mark.parametrize("stage", list(Stage))
@pytest.mark.parametrize("limit", [1, 3, 50])
def test_a_walk_meets_every_job_once(api: Api, stage: Stage, limit: int) -> None:
    """Over a walk each of one's own jobs appears once, whatever the stage, old records included."""
    set_stage(api.redis, stage)
    mine = api.key()
    ids = set(api.execute(mine, *[action()] * 7))
    if stage is not Stage.SEALED and stage is not Stage.NEW_ONLY:
        for number in range(5):
            put_legacy(api.redis, f"old-{number}")
            ids.add(f"old-{number}")
    api.execute(api.key("beta"), *[action()] * 3)
    walked = [job["job_id"] for job in api.walk(mine, limit=limit)]
    assert sorted(walked) == sorted(ids)


def test_newest_first_once_the_index_is_complete(api: Api) -> None:
    """By then a page is as long as its limit."""
    complete_index(api.redis)
    mine = api.key()
    ids = [api.execute(mine)[0] for _ in range(5)]
    page = api.http.get("/ai/jobs?limit=2", headers=mine).json()
    assert [job["job_id"] for job in page["jobs"]] == ids[:-3:-1]
    assert [job["job_id"] for job in api.walk(mine, limit=2)] == ids[::-1]


def test_by_status(api: Api, store: JobStore) -> None:
    """Only jobs of the wanted status; one that does not exist is 422."""
    mine = api.key()
    ids = api.execute(mine, *[action()] * 4)
    taken = {store.claim("w").job_id for _ in range(2)}  # type: ignore[union-attr]
    assert {job["job_id"] for job in api.walk(mine, status="running", limit=1)} == taken
    assert {job["job_id"] for job in api.walk(mine, status="pending")} == set(ids) - taken
    assert list(api.walk(mine, status="failed")) == []
    for status in ("error", "", "PENDING", "pending "):
        assert api.http.get("/ai/jobs", headers=mine, params={"status": status}).status_code == 422


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "x", "", "1.5", "1e2", " 1", "9" * 30])
def test_limits_out_of_bounds(api: Api, limit: str) -> None:
    """1 to 1000, in digits."""
    assert api.http.get("/ai/jobs", headers=api.key(), params={"limit": limit}).status_code == 422


@pytest.mark.parametrize("garbage", GARBAGE, ids=lambda text: text[:10])
def test_garbage_is_no_cursor(api: Api, garbage: str) -> None:
    """400, whatever it looks like."""
    answer = api.http.get("/ai/jobs", headers=api.key(), params={"cursor": garbage})
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:relay-jobs:problem:invalid-cursor")


def test_a_cursor_that_was_changed_anywhere(api: Api) -> None:
    """No character of a cursor can be exchanged, left out or added."""
    mine = api.key()
    api.execute(mine, *[action()] * 5)
    good = cursor(api, mine)
    changed = [good[:at] + ("A" if good[at] != "A" else "B") + good[at + 1 :] for at in range(0, len(good), 7)]
    changed += [good[:-1], good[1:], good + "A", good + "=", good[22:], good[:22], f"{good[:22]}{good}"]
    for each in changed:
        assert api.http.get("/ai/jobs", headers=mine, params={"cursor": each}).status_code == 400, each
    assert api.http.get("/ai/jobs", headers=mine, params={"cursor": good}).status_code == 200


def test_a_position_that_nobody_was_given(api: Api) -> None:
    """Whoever reads a cursor and writes another position into it is refused, although it is of its own workspace."""
    mine = api.key()
    api.execute(mine, *[action()] * 5)
    good = cursor(api, mine)
    inner = base64.urlsafe_b64decode(good[22:] + "==")
    forged = base64.urlsafe_b64encode(inner.replace(b'"acme"', b'"beta"')).decode().rstrip("=")
    assert forged != good[22:]
    for attempt in (forged, good[:22] + forged):
        assert api.http.get("/ai/jobs", headers=api.key("beta"), params={"cursor": attempt}).status_code == 400
        assert api.http.get("/ai/jobs", headers=mine, params={"cursor": attempt}).status_code == 400


def test_a_cursor_is_of_one_workspace_and_one_status(api: Api) -> None:
    """Another workspace's cursor, or one of another filter, is garbage; another key of the workspace may go on."""
    mine, other = api.key("acme"), api.key("beta")
    for headers in (mine, other):
        api.execute(headers, *[action()] * 5)
    plain, filtered = cursor(api, mine), cursor(api, mine, status="pending")
    for headers, query in (
        (other, {"cursor": plain}),
        (mine, {"cursor": plain, "status": "pending"}),
        (mine, {"cursor": filtered}),
        (mine, {"cursor": filtered, "status": "running"}),
    ):
        assert api.http.get("/ai/jobs", headers=headers, params=query).status_code == 400, query
    assert api.http.get("/ai/jobs", headers=api.key("acme"), params={"cursor": plain}).status_code == 200
    assert api.http.get("/ai/jobs", headers=mine, params={"cursor": filtered, "status": "pending"}).status_code == 200


def test_every_process_takes_the_others_cursors(open_api: Callable[..., Api], client: redis.Redis) -> None:
    """The secret that signs is made once for a store, and is its own."""
    one, two = open_api(), open_api()
    mine = one.key()
    one.execute(mine, *[action()] * 5)
    assert two.http.get("/ai/jobs", headers=mine, params={"cursor": cursor(one, mine)}).status_code == 200
    secret = client.get(keys.CURSOR_SECRET)
    assert secret is not None
    assert len(bytes.fromhex(secret.decode())) == 32
    client.delete(keys.CURSOR_SECRET)
    assert open_api().http.get("/ai/jobs", headers=mine, params={"cursor": cursor(two, mine)}).status_code == 400


def test_a_cursor_of_a_walk_that_rested_too_long(api: Api) -> None:
    """It is refused like garbage: the walk begins again."""
    mine = api.key()
    api.execute(mine, *[action()] * 5)
    old = cursor(api, mine)
    api.redis.delete("ai:migration:walk:acme")
    answer = api.http.get("/ai/jobs", headers=mine, params={"cursor": old})
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:relay-jobs:problem:invalid-cursor")
