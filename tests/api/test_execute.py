"""POST /ai/execute queues all of its actions or none, and repeats give the same ids."""

from collections.abc import Callable
from typing import Any

import pytest

from relay_jobs import JobStore
from tests.api.conftest import Api, action
from tests.proxy import Proxy
from tests.store.records import dump

pytestmark = pytest.mark.redis


def test_actions_become_jobs(api: Api, store: JobStore) -> None:
    """A job for each action, in their order, of the key's workspace and actor."""
    mine = api.key("acme", actor="someone")
    ids = api.execute(mine, action(), action(provider="crm", action="note", params=[1, None, {"a": "é"}]))
    assert len(set(ids)) == 2
    first, second = (store.get_job(job_id, "acme") for job_id in ids)
    assert first is not None
    assert second is not None
    assert (first.action_provider, first.action_name, first.params) == ("mail", "send", {"to": "x"})
    assert (second.action_provider, second.action_name, second.params) == ("crm", "note", [1, None, {"a": "é"}])
    assert {first.actor_id, second.actor_id} == {"someone"}
    assert [store.claim("w").job_id for _ in ids] == ids  # type: ignore[union-attr]


def test_a_repeat_gives_the_same_ids(api: Api) -> None:
    """The same request ids with the same actions make no new job; without a request id each is new."""
    mine = api.key()
    both = [action(client_request_id="a"), action(client_request_id="b", params=2)]
    ids = api.execute(mine, *both)
    assert api.execute(mine, *both) == ids
    assert api.execute(mine, *reversed(both)) == ids[::-1]
    assert api.execute(api.key("acme", actor="another"), *both) == ids
    assert api.execute(mine, both[0], both[0], action())[:2] == [ids[0], ids[0]]
    assert set(api.execute(api.key("beta"), *both)) & set(ids) == set()
    assert api.execute(mine) != api.execute(mine)
    assert len(list(api.walk(mine))) == 5


def test_a_conflict_queues_nothing(api: Api) -> None:
    """One action under a used request id refuses the whole request, whatever is before and after it."""
    mine = api.key()
    api.execute(mine, action(client_request_id="a"))
    before = dump(api.redis)
    actions = [action(), action(client_request_id="a", params="other"), action(client_request_id="fresh")]
    answer = api.http.post("/ai/execute", headers=mine, json={"actions": actions})
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:relay-jobs:problem:idempotency-conflict")
    assert dump(api.redis) == before


def test_a_reply_of_the_store_that_is_lost(open_api: Any, real_server: Any) -> None:
    """The store's answer is lost after it has taken effect: the request still ends well, and its jobs exist once."""
    with Proxy(real_server.port) as proxy:
        api = open_api(port=proxy.port)
        mine = api.key()
        api.execute(mine)
        proxy.lose_reply()
        ids = api.execute(mine, action(), action(client_request_id="a"))
        assert len(set(ids)) == 2
        assert len(list(api.walk(mine))) == 3
        assert api.execute(mine, action(client_request_id="a")) == [ids[1]]


@pytest.mark.parametrize(
    "body",
    [
        None,
        {},
        [],
        {"actions": []},
        {"actions": {}},
        {"actions": [1]},
        {"actions": [action()], "extra": 1},
        {"actions": [action(extra=1)]},
        {"actions": [action(provider="")]},
        {"actions": [action(provider=1)]},
        {"actions": [action(provider="p" * 257)]},
        {"actions": [action(action="a" * 257)]},
        {"actions": [{"provider": "p", "action": "a"}]},
        {"actions": [action(job_id="mine")]},
        {"actions": [action(ttl_seconds=1)]},
        {"actions": [action(client_request_id="")]},
        {"actions": [action(client_request_id="a\n")]},
        {"actions": [action(client_request_id="a" * 257)]},
        {"actions": [action(client_request_id="é" * 65)]},
        {"actions": [action(client_request_id=7)]},
        {"actions": [action()] * 101},
    ],
    ids=lambda body: repr(body)[:60],
)
def test_what_is_not_as_documented(api: Api, body: Any) -> None:
    """422 with the place of what is wrong; one bad action among good ones refuses all."""
    mine = api.key()
    if isinstance(body, dict) and isinstance(body.get("actions"), list):
        body = {**body, "actions": [action(), *body["actions"]] if body["actions"] else []}
    before = dump(api.redis)
    answer = api.http.post("/ai/execute", headers=mine, json=body)
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:relay-jobs:problem:malformed-request")
    assert answer.json()["errors"]
    assert dump(api.redis) == before


def test_the_bounds_are_allowed(api: Api) -> None:
    """A hundred actions, names of 256 characters, request ids of 256 ASCII or 64 other characters."""
    mine = api.key()
    wide = action(provider="p" * 256, action="é" * 256, client_request_id="~" * 256)
    ids = api.execute(mine, wide, action(client_request_id="𝄞" * 64), action(client_request_id=None), *[action()] * 97)
    assert len(set(ids)) == 100


def test_places_name_documented_fields_only(api: Api) -> None:
    """A field that nobody documented is not repeated, since its name may be data."""
    answer = api.http.post("/ai/execute", headers=api.key(), json={"actions": [action(), {"canary": 1, "provider": 2}]})
    places = {each["pointer"] for each in answer.json()["errors"]}
    assert places == {"/actions/1/provider", "/actions/1/action", "/actions/1/params", "/actions/1/…"}


@pytest.mark.parametrize("options", [{"decode_responses": True}, {"protocol": 2}, {"protocol": 3}], ids=repr)
def test_whatever_the_client_decodes_and_speaks(open_api: Callable[..., Api], options: dict[str, Any]) -> None:
    """Keys, cursors and jobs are read as bytes, by either protocol."""
    api = open_api(**options)
    mine = api.key()
    ids = api.execute(mine, *[action()] * 5)
    assert sorted(job["job_id"] for job in api.walk(mine, limit=2)) == sorted(ids)
    assert api.http.get(f"/ai/jobs/{ids[0]}", headers=mine).status_code == 200
