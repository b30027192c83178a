"""Only a valid key opens a route, only its scopes, and only until it is revoked."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import redis

from chaos.proxy import BEFORE
from relay_jobs import keys
from relay_jobs.api_keys import ApiKeys, Scope
from relay_jobs.errors import Refused, UsageError
from tests.api.conftest import Api, action
from tests.proxy import Proxy
from tests.servers import Server
from tests.store.records import dump

pytestmark = pytest.mark.redis

ROUTES = [("GET", "/ai/jobs"), ("GET", "/ai/jobs/j"), ("POST", "/ai/execute")]


def headers(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_route_to_a_job_needs_a_key(api: Api, method: str, path: str) -> None:
    """Without a key the answer is 401 and says how to ask, before anything else of the request is looked at."""
    before = dump(api.redis)
    answer = api.http.request(method, f"{path}?unknown=1", content=b"no JSON")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="relay-jobs"'
    assert answer.json()["type"] == "urn:relay-jobs:problem:unauthorized"
    assert dump(api.redis) == before


def test_what_is_no_valid_key(api: Api) -> None:
    """Another secret, another id, another kind, two keys, none, or more than a key: all of them are 401."""
    good = api.key()["Authorization"].split()[1]
    _, key_id, secret = good.split("_", 2)
    wrong = f"{secret[:-1]}{'A' if secret[-1] != 'A' else 'B'}"
    bad = [
        f"rj_{key_id}_{wrong}",
        f"rj_{'0' * 16}_{secret}",
        secret,
        f"{good}x",
        f"x{good}",
        "",
        " ",
        "é",
        good.upper(),
    ]
    for token in bad:
        answer = api.http.get("/ai/jobs", headers={"Authorization": f"Bearer {token}".encode()})
        assert answer.status_code == 401, token
        assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
    for line in (f"Basic {good}", good, f"Bearer{good}", f"Bearer {good}, Bearer {good}"):
        assert api.http.get("/ai/jobs", headers={"Authorization": line}).status_code == 401, line
    twice = [("Authorization", f"Bearer {good}")] * 2
    assert api.http.get("/ai/jobs", headers=twice).status_code == 401
    assert api.http.get(f"/ai/jobs?api_key={good}").status_code == 401
    assert api.http.get("/ai/jobs", headers={"Authorization": f"bearer  {good}"}).status_code == 200


def test_a_key_without_the_scope(api: Api) -> None:
    """Reading needs jobs:read, executing jobs:write; 403 names the missing one, and nothing is written."""
    reader, writer = api.key("acme", Scope.READ), api.key("acme", Scope.WRITE)
    before = dump(api.redis)
    refused = api.http.post("/ai/execute", headers=reader, json={"actions": [action()]})
    assert (refused.status_code, refused.json()["type"]) == (403, "urn:relay-jobs:problem:insufficient-scope")
    assert 'scope="jobs:write"' in refused.headers["WWW-Authenticate"]
    assert dump(api.redis) == before
    for path in ("/ai/jobs", "/ai/jobs/j"):
        assert api.http.get(path, headers=writer).status_code == 403
        assert api.http.get(path, headers=reader).status_code in {200, 404}
    assert api.http.post("/ai/execute", headers=writer, json={"actions": [action()]}).status_code == 202


def test_a_revoked_key_is_refused_by_its_next_request(api: Api) -> None:
    """Nothing about a key is remembered between two requests."""
    mine, other = api.key(), api.key()
    assert api.http.get("/ai/jobs", headers=mine).status_code == 200
    api.keys.revoke(mine["Authorization"].split("_")[1])
    assert api.http.get("/ai/jobs", headers=mine).status_code == 401
    assert api.http.get("/ai/jobs", headers=other).status_code == 200


def test_a_revoked_key_is_gone_from_the_list(client: redis.Redis) -> None:
    """Revoking twice, or what never was, says so."""
    made = ApiKeys(client)
    one, _ = made.create("acme", "u1", [Scope.READ])
    two, _ = made.create("beta", "u2", [Scope.WRITE])
    made.revoke(one.key_id)
    assert made.all() == [two]
    assert client.zrange(keys.API_KEY_IDS, 0, -1) == [two.key_id.encode()]
    for key_id in (one.key_id, "ghost", "ids", ""):
        with pytest.raises(Refused, match="there is no key"):
            made.revoke(key_id)
    assert made.all() == [two]


def test_a_key_ends_by_itself(api: Api) -> None:
    """After its time a key is refused and no longer listed; the server's clock decides."""
    mine = api.key(life=timedelta(hours=1))
    assert api.http.get("/ai/jobs", headers=mine).status_code == 200
    (listed,) = api.keys.all()
    assert listed.expires_at is not None
    assert 3500_000 < api.redis.pttl(keys.api_key(listed.key_id)) <= 3600_000
    # What the server does at the end of a time to live.
    api.redis.pexpireat(keys.api_key(listed.key_id), 1)
    assert api.http.get("/ai/jobs", headers=mine).status_code == 401
    assert api.keys.all() == []


def test_ended_keys_leave_the_index(client: redis.Redis) -> None:
    """What has ended by the time that another key is made is removed then."""
    past = ApiKeys(client, now=lambda: datetime.now(UTC) - timedelta(days=3))
    past.create("acme", "u1", [Scope.READ], timedelta(days=1))
    assert client.zcard(keys.API_KEY_IDS) == 1
    kept, _ = ApiKeys(client).create("acme", "u1", [Scope.READ])
    assert client.zrange(keys.API_KEY_IDS, 0, -1) == [kept.key_id.encode()]


def test_only_a_hash_is_at_rest(client: redis.Redis) -> None:
    """The secret has 256 random bits, is in no key and no value of the server, and in no listing."""
    made, token = ApiKeys(client).create("acme", "u1", [Scope.READ])
    found = re.fullmatch(r"rj_([0-9a-f]{16})_([A-Za-z0-9_-]{43})", token)
    assert found is not None
    assert found[1] == made.key_id
    assert found[2] not in repr(dump(client))
    assert token not in repr(dump(client))
    assert found[2] not in repr(ApiKeys(client).all())
    tokens = {ApiKeys(client).create("acme", "u1", [Scope.READ])[1] for _ in range(20)}
    assert len({each.split("_", 2)[2] for each in tokens}) == 20


def test_a_look_up_costs_the_same_with_many_keys(api: Api) -> None:
    """With one key and with 100,000 a request sends the same commands, one of them for the key."""
    mine = api.key()

    def commands() -> dict[str, int]:
        api.redis.config_resetstat()
        assert api.http.get("/ai/jobs/ghost", headers=mine).status_code == 404
        stats = api.redis.info("commandstats")
        return {name: about["calls"] for name, about in stats.items() if "config" not in name and "info" not in name}

    api.http.get("/ai/jobs/ghost", headers=mine)
    with_one = commands()
    with api.redis.pipeline(transaction=False) as pipe:
        for number in range(100_000):
            pipe.hset(keys.api_key(f"{number:016x}"), "digest", "0")
            pipe.zadd(keys.API_KEY_IDS, {f"{number:016x}": "+inf"})
        pipe.execute()
    with_many = commands()
    assert with_many == with_one
    assert with_one["cmdstat_evalsha"] == 1


@pytest.mark.parametrize(
    ("workspace", "actor", "scopes"),
    [
        ("a b", "u1", [Scope.READ]),
        ("", "u1", [Scope.READ]),
        ("acme", "", [Scope.READ]),
        ("acme", "u\n", [Scope.READ]),
        ("acme", "u1", []),
    ],
)
def test_keys_that_cannot_be(client: redis.Redis, workspace: str, actor: str, scopes: list[Scope]) -> None:
    """A malformed workspace or actor, or no scope, makes no key."""
    before = dump(client)
    with pytest.raises(UsageError):
        ApiKeys(client).create(workspace, actor, scopes)
    assert dump(client) == before


def test_a_listing_index_of_a_wrong_type_makes_no_key(client: redis.Redis) -> None:
    """A key that could not be listed, and so not revoked, is of no use: nobody was shown its secret."""
    client.set(keys.API_KEY_IDS, "x")
    with pytest.raises(redis.ResponseError):
        ApiKeys(client).create("acme", "u1", [Scope.READ])


def test_a_look_up_whose_connection_ends_is_sent_again(real_server: Server, open_api: Callable[..., Api]) -> None:
    """As every call of the job store is: a request does not fail for one lost connection."""
    with Proxy(real_server.port) as proxy:
        api = open_api(port=proxy.port)
        mine = api.key()
        assert api.http.get("/ai/jobs/ghost", headers=mine).status_code == 404
        faults = [BEFORE]
        proxy.storm = lambda: faults.pop() if faults else None
        assert api.http.get("/ai/jobs/ghost", headers=mine).status_code == 404
        assert not faults
