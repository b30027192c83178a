"""Random steps of everyone at once, on fakeredis and on a real server side by side, against a ledger kept outside."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule, run_state_machine_as_test

from relay_jobs import Stage
from relay_jobs.stages import Flags
from tests.machine.audit import STAGES
from tests.machine.callers import CALLS
from tests.machine.checks import RUNNING
from tests.machine.climbing import MOVES, Climbing
from tests.machine.creators import ORDERS
from tests.machine.damage import DAMAGE, LEFT_BEHIND
from tests.machine.fake import EngineServer
from tests.machine.listings import LISTS, Listings
from tests.machine.sides import Clock, Side
from tests.machine.times import EVENTS, Times
from tests.machine.twin import IDS, NAMES, WORKSPACES
from tests.machine.workers import WORK, Workers
from tests.servers import REAL, Running

STEPS = 50
# Server, seed and number of examples; a long run takes its seed from --hypothesis-seed.
LONG = int(os.environ.get("MACHINE_EXAMPLES", "0"))
RUNS = [(name, None, LONG) for name in REAL] if LONG else [("valkey", 1, 55), ("valkey", 2, 55), ("redis7", 3, 40)]


class Machine(Workers, Listings, Climbing, Times):
    """All rules together."""

    last_read = 0

    @initialize(
        to=st.sampled_from(["legacy", "dual_write", "dual_write", "new_first", "new_first", "new_only", "sealed"]),
        off=st.booleans(),
        damaged=st.sampled_from([None, *DAMAGE]),
        left=st.sampled_from([None, "partial", *LEFT_BEHIND[:3]]),
    )
    def begin(self, to: str, off: bool, damaged: str | None, left: str | None) -> None:
        """Jobs of old processes, and a migration that has come some way."""
        for side in self.sides:
            side.migration.set_stage(Stage.LEGACY)
        self.ledger.moved("*", ("legacy",))
        for process in (0, 1):
            for side in self.sides:
                side.start(process, Flags(read_prefers_new=not (off and process)))
        self.ledger.processes[1].legacy_reader = off
        self.holds()
        for workspace, job_id in zip(WORKSPACES, IDS, strict=False):
            self.and_then(self.enqueue_old, workspace, job_id, 0)
        if damaged:
            self.and_then(self.damage_legacy, IDS[3], damaged, True)
        if left:
            self.and_then(self.damage_copy, (WORKSPACES[0], IDS[0]), left)
        self.climb("*", min(to, "new_only", key=STAGES.index))
        if to == "sealed":
            self.and_then(self.seal, "*")

    # One rule, so that whoever may act may act at any time: hypothesis leaves out rules of its own choice.
    @rule(what=st.one_of(CALLS, CALLS, ORDERS, WORK, WORK, EVENTS, EVENTS, LISTS, LISTS, MOVES, RUNNING, RUNNING))
    def act(self, what: tuple[str, dict[str, Any]]) -> None:
        """Somebody does something."""
        name, given = what
        getattr(self, name)(**given)

    @invariant()
    def others_go_on(self) -> None:
        """Listings and verifications are followed, and both processes read a job, another one at each step."""
        self.walks_go_on()
        self.checks_go_on()
        if self.ledger.step > self.last_read:
            self.last_read = self.ledger.step
            for process in self.ledger.processes:
                self.get(process, NAMES[self.ledger.step % len(NAMES)])


@pytest.fixture
def sides(running: Running) -> Iterator[Callable[[str], type[Machine]]]:
    """Makes the machine for a real server, beside a fake one."""
    fake = EngineServer()
    clients = [fake.client()]

    def machine(name: str) -> type[Machine]:
        if name == "valkey":
            server = running.start(name, **{"hash-seed": "the-same-order-in-every-run"})
        else:
            server = running.start(name)
        clients.append(server.main)

        def open_sides(clock: Clock) -> tuple[Side, Side]:
            return Side(0, "fake", fake, clients[0], clock), Side(1, name, None, server.main, clock)

        return type("Machine", (Machine,), {"open_sides": staticmethod(open_sides)})

    yield machine
    for client in clients:
        client.close()


def _settings(examples: int) -> settings:
    quiet = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    # A mutation only has to be noticed; what it takes at least is for a person to read.
    phases = [Phase.generate] if os.environ.get("MACHINE_SHRINK") == "no" else list(Phase)
    return settings(
        phases=phases,
        max_examples=examples,
        stateful_step_count=STEPS,
        deadline=None,
        derandomize=False,
        database=None,
        report_multiple_bugs=False,
        suppress_health_check=quiet,
    )


@pytest.mark.properties
@pytest.mark.redis
@pytest.mark.parametrize(("name", "number", "examples"), RUNS)
def test_both_servers_answer_as_the_ledger_says(
    sides: Callable[[str], type[Machine]], name: str, number: int | None, examples: int
) -> None:
    """Readers see what was acknowledged, gates pass what is proven, books and verdicts are true: on both servers."""
    machine = sides(name)
    run_state_machine_as_test(machine if number is None else seed(number)(machine), settings=_settings(examples))
