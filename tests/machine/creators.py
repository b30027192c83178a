"""API servers create jobs: one or several at once, some for a request that was made before."""

import json
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from relay_jobs import NewJob
from tests.machine.audit import Name, legacy_key, scoped_key, view
from tests.machine.sides import Side
from tests.machine.twin import IDS, Twin, acts, processes, workspaces

TTL = 7200


@dataclass(frozen=True)
class Order:
    """A job that is asked for; ``pick`` chooses its id, mostly a free one."""

    pick: int
    params: int
    request: str
    ttl: int | None
    job_id: str = ""

    def job(self) -> NewJob:
        """As the store takes it."""
        return NewJob("p", "a", {"n": self.params}, self.request or None, self.job_id, self.ttl)


orders = st.builds(
    Order, st.integers(0, 9), st.integers(0, 1), st.sampled_from(["", "", "r", "s"]), st.sampled_from([None, TTL])
)

ORDERS = acts(
    "enqueue",
    process=processes,
    workspace=workspaces,
    chosen=st.lists(orders, min_size=1, max_size=2),
)


class Creators(Twin):
    """Rules of those who create jobs."""

    def enqueue(self, process: int, workspace: str, chosen: list[Order]) -> None:
        """All of them or none."""
        wanted = [Order(o.pick, o.params, o.request, o.ttl, self._id(o.pick + n)) for n, o in enumerate(chosen)]
        taken = {order.job_id: self.taken((workspace, order.job_id)) for order in wanted}
        if None in taken.values():
            return
        self.step(*((workspace, job_id) for job_id in taken))
        expected = self._expected(process, workspace, wanted, taken)
        began = [side.time_ms() for side in self.sides]

        def call(side: Side) -> Any:
            store, jobs = side.stores[process], [order.job() for order in wanted]
            if len(jobs) > 1 or jobs[0].params["n"]:
                return [(done.job_id, done.created) for done in store.enqueue_many(workspace, jobs, "u")]
            one = jobs[0]
            done = store.enqueue(
                workspace, "p", "a", one.params, "u", one.client_request_id, one.job_id, one.ttl_seconds
            )
            return [(done.job_id, done.created)]

        self.ask(call, expected)
        if not isinstance(expected, str):
            for order, (_, created) in zip(wanted, expected, strict=True):
                if created:
                    self._created(workspace, order, began)

    def _id(self, pick: int) -> str:
        free = [job_id for job_id in IDS if self.free(job_id)]
        return free[pick % len(free)] if free and pick < 8 else IDS[pick % len(IDS)]

    def taken(self, name: Name) -> bool | None:
        """Whether an id is taken for a workspace; None where a pass has made the sides differ in that."""
        keys = legacy_key(name[1]), scoped_key(*name)
        if not self.same(lambda side: any(key in side.data for key in keys)):
            return None
        taken = any(key in self.sides[0].data for key in keys)
        # A job that was born in sealed is in its own workspace only; here each id is given to one.
        return None if not taken and self.ledger.holder(name[1]) else taken

    def _expected(self, process: int, workspace: str, wanted: list[Order], taken: Any) -> Any:
        if self.ledger.barred(process, workspace):
            return "FlagConflict"
        requests, ids, answers = dict(self.ledger.requests), set(), []
        for order in wanted:
            first = requests.get((workspace, order.request))
            if first and first[1] != (order.params,):
                return "IdempotencyConflict"
            if not first and (taken[order.job_id] or order.job_id in ids):
                return "JobExists"
            answers.append((first[0], False) if first else (order.job_id, True))
            if not first:
                ids.add(order.job_id)
            if order.request and not first:
                requests[workspace, order.request] = (order.job_id, (order.params,))
        return answers

    def _created(self, workspace: str, order: Order, began: list[int]) -> None:
        name, job_id = (workspace, order.job_id), order.job_id
        fields = {
            b"job_id": job_id.encode(),
            b"status": b"pending",
            b"action_provider": b"p",
            b"action_name": b"a",
            b"params": json.dumps({"n": order.params}, separators=(",", ":")).encode(),
            b"workspace_id": workspace.encode(),
            b"actor_id": b"u",
            b"result": b"",
            b"enqueued_at": self.clock.stamp,
            b"started_at": b"",
            b"finished_at": b"",
        }
        self.writing(name)
        self.ledger.add(workspace, job_id, fields)
        self.ledger.queue.append(self.ledger.entry(workspace, job_id))
        self.ledger.claims.pop(name, None)
        if order.request:
            self.ledger.requests[workspace, order.request] = (job_id, (order.params,))
        if order.ttl:
            self._expires(name, began)

    def _expires(self, name: Name, began: list[int]) -> None:
        """The server's clock gives the expiry; both copies have the same, as the invariants see."""
        for side, since in zip(self.sides, began, strict=True):
            found = view(side.snapshot(), self.ledger.stage(name[0]), name)
            assert found is not None
            assert since <= found.expires - TTL * 1000 <= side.time_ms()
            self.ledger.jobs[name].expires[side.number] = found.expires
