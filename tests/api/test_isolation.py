"""Nobody sees a foreign job: by structure, by the letter of the answers, and by a fuzzer of three tenants."""

import ast
import random
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute

import relay_jobs.api_routes
from relay_jobs import JobStore, Stage
from relay_jobs.api_routes import Admission, router
from tests.api.conftest import Api, Headers, action
from tests.store.records import dump, put_legacy, set_stage

OPEN = {"/healthz", "/metrics"}
STEPS = 300


def made_by(endpoint: Any) -> list[Admission]:
    """The admission that has made a route's function; one that is written down by itself has none."""
    inside = [cell.cell_contents for cell in endpoint.__closure__ or ()]
    return [each for each in inside if isinstance(each, Admission)]


def test_every_route_is_given_a_tenant() -> None:
    """A route either needs no job at all, or is made by an admission; its framework reads nothing else for it."""
    routes = [route for route in router.routes if isinstance(route, APIRoute)]
    assert {route.path for route in routes} > OPEN
    for route in routes:
        assert len(made_by(route.endpoint)) == (route.path not in OPEN), route.path
        read = route.dependant
        assert [*read.dependencies, *read.path_params, *read.query_params, *read.header_params, *read.body_params] == []


def test_routes_cannot_reach_the_store() -> None:
    """The module of the routes imports neither the store nor a client: a tenant is its only way to a job."""
    tree = ast.parse(Path(relay_jobs.api_routes.__file__).read_text(encoding="utf-8"))
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    modules |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert {
        "redis",
        "relay_jobs.store",
        "relay_jobs.calls",
        "relay_jobs.scripting",
        "relay_jobs.keys",
    } & modules == set()
    assert "relay_jobs.api_tenants" in modules


def test_only_an_admission_makes_a_tenant() -> None:
    """In the whole package a tenant is made at one place, behind the key and its scope."""
    made = []
    for path in Path(relay_jobs.api_routes.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "Tenant":
                made.append(path.name)
    assert made == ["api_tenants.py"]


@pytest.mark.redis
@pytest.mark.parametrize("stage", list(Stage))
def test_foreign_and_unknown_ids_are_the_same(api: Api, stage: Stage) -> None:
    """Status, body and headers are the same to the byte, in every stage, and so are the commands sent to the store."""
    set_stage(api.redis, stage)
    (foreign,) = api.execute(api.key("beta"))
    unknown = f"{foreign[:-1]}{'0' if foreign[-1] != '0' else '1'}"
    mine, answers = api.key("acme"), []
    api.http.get("/ai/jobs/warm", headers=mine)
    for job_id in (foreign, unknown):
        api.redis.config_resetstat()
        answer = api.http.get(f"/ai/jobs/{job_id}", headers=mine)
        sent = {name: about["calls"] for name, about in api.redis.info("commandstats").items() if "eval" in name}
        answers.append((answer.status_code, answer.content, dict(answer.headers), sent))
    assert answers[0] == answers[1]
    assert answers[0][0] == 404
    assert api.http.get(f"/ai/jobs/{foreign}", headers=api.key("beta")).status_code == 200


@pytest.mark.redis
@pytest.mark.parametrize("name", ["workspace_id", "actor_id"])
@pytest.mark.parametrize("value", ["beta", "", "ACME", "acme ", 5, ["acme"], {"acme": 1}, True], ids=repr)
def test_another_identity_in_the_body(api: Api, name: str, value: Any) -> None:
    """A workspace or actor other than the key's, at the top or in an action, is 403 and queues nothing."""
    mine = api.key("acme", actor="someone")
    before = dump(api.redis)
    for body in ({"actions": [action()], name: value}, {"actions": [action(), action(**{name: value})]}):
        answer = api.http.post("/ai/execute", headers=mine, json=body)
        assert (answer.status_code, answer.json()["type"]) == (403, "urn:relay-jobs:problem:other-identity")
    assert dump(api.redis) == before


@pytest.mark.redis
def test_another_identity_in_the_query(api: Api) -> None:
    """The same for every route's query; the key's own is no reason to refuse."""
    mine = api.key("acme", actor="someone")
    (job_id,) = api.execute(mine)
    own = {"workspace_id": "acme", "actor_id": "someone"}
    for method, path in (("GET", "/ai/jobs"), ("GET", f"/ai/jobs/{job_id}"), ("POST", "/ai/execute")):
        body = {"json": {"actions": [action(**own)], **own}} if method == "POST" else {}
        for query in ({"workspace_id": "beta"}, {"actor_id": "other"}, {**own, "workspace_id": ""}):
            assert api.http.request(method, path, headers=mine, params=query, **body).status_code == 403, (path, query)
        assert api.http.request(method, path, headers=mine, params=own, **body).status_code in {200, 202}
        twice = f"{path}?workspace_id=acme&workspace_id=beta"
        assert api.http.request(method, twice, headers=mine, **body).status_code == 403


@pytest.mark.redis
@pytest.mark.parametrize("query", ["foo=1", "limit=1&limit=2", "workspace=beta", "status=pending&Status=running"])
def test_queries_that_are_not_documented(api: Api, query: str) -> None:
    """An unknown field, or one twice, is 422."""
    assert api.http.get(f"/ai/jobs?{query}", headers=api.key()).status_code == 422


@pytest.mark.redis
def test_params_may_hold_whatever_they_like(api: Api, store: JobStore) -> None:
    """What a tenant calls workspace_id inside of its own params is its own affair."""
    (job_id,) = api.execute(api.key("acme"), action(params={"workspace_id": "beta", "actor_id": "x"}))
    job = store.get_job(job_id, "acme")
    assert job is not None
    assert (job.workspace_id, job.actor_id) == ("acme", "u1")


class Fuzzer:
    """Three tenants who know each other's ids, request ids and cursors, and use them."""

    def __init__(self, api: Api, seed: int) -> None:
        self.api, self.random = api, random.Random(seed)
        self.keys = {name: api.key(name, actor=f"actor-{name}") for name in ("acme", "beta", "ac")}
        self.owners: dict[str, str] = {}
        self.cursors: list[tuple[str, str, str | None]] = []
        self.numbers = count()
        self.words: list[str] = []

    def step(self) -> None:
        """One request of one tenant, and what its answer may hold."""
        who = self.random.choice(sorted(self.keys))
        verb = self.random.choice([self.execute, self.plant, self.read, self.read, self.page, self.page, self.move])
        self.words.append(f"{who} {verb.__name__}")
        verb(who, self.keys[who])

    def execute(self, who: str, headers: Headers) -> None:
        """Queue, under request ids that others use too."""
        request = self.random.choice(["r1", "r2", "r3", None])
        named = self.random.choice([None, None, "workspace_id", "actor_id"])
        other = self.random.choice(sorted(self.keys))
        extra = {} if named is None else {named: other if named == "workspace_id" else f"actor-{other}"}
        body = {"actions": [action(action=f"{who}-only", client_request_id=request, params=who)], **extra}
        answer = self.api.http.post("/ai/execute", headers=headers, json=body)
        assert answer.status_code == (202 if named is None or other == who else 403)
        for job_id in answer.json().get("job_ids", []):
            assert self.owners.setdefault(job_id, who) == who

    def plant(self, who: str, _: Headers) -> None:
        """An old process writes a job under an id that looks like another workspace's."""
        other = self.random.choice(sorted(self.keys))
        job_id = self.random.choice([f"{other}:{next(self.numbers)}", f"j{next(self.numbers)}"])
        put_legacy(self.api.redis, job_id, who, action_name=f"{who}-only")
        self.owners[job_id] = who

    def read(self, who: str, headers: Headers) -> None:
        """Any id that anybody knows."""
        job_id = self.random.choice([*self.owners, "ghost"])
        answer = self.api.http.get(f"/ai/jobs/{job_id}", headers=headers)
        if self.owners.get(job_id) != who:
            assert answer.status_code == 404
        elif answer.status_code == 200:
            assert answer.json()["action"] == f"{who}-only"

    def page(self, who: str, headers: Headers) -> None:
        """A page from the start, or on from a cursor that anybody was given."""
        status = self.random.choice([None, "pending", "running"])
        query: dict[str, Any] = {"limit": self.random.choice([1, 2, 5])} | ({"status": status} if status else {})
        given = self.random.choice([None, self.random.choice(self.cursors)]) if self.cursors else None
        if given is not None:
            query["cursor"] = given[2]
        answer = self.api.http.get("/ai/jobs", headers=headers, params=query)
        if given is not None and given[:2] != (who, str(status)):
            assert answer.status_code == 400
            return
        assert answer.status_code in ({200} if given is None else {200, 400})
        for job in answer.json().get("jobs", []):
            assert self.owners[job["job_id"]] == who
            assert job["action"] == f"{who}-only"
        if answer.json().get("next_cursor"):
            self.cursors.append((who, str(status), answer.json()["next_cursor"]))

    def move(self, *_: Any) -> None:
        """The stage moves, and the listing index is complete or not."""
        set_stage(self.api.redis, self.random.choice([Stage.DUAL_WRITE, Stage.NEW_FIRST]))
        self.api.redis.hset("ai:migration:stages", "*epoch", self.random.choice([1, 2]))


@pytest.mark.redis
@pytest.mark.parametrize("seed", range(3))
def test_three_tenants_at_random(api: Api, seed: int) -> None:
    """Whatever they send, no answer holds an id or a word of another one's jobs."""
    fuzzer = Fuzzer(api, seed)
    for _ in range(STEPS):
        try:
            fuzzer.step()
        except AssertionError:
            print(f"seed {seed}, last steps: {fuzzer.words[-10:]}")  # noqa: T201 -- what is needed to repeat it
            raise
    assert len(set(fuzzer.owners.values())) == 3
    assert len(fuzzer.cursors) > 10
