"""What time brings: the server is started again, a day passes; and what a preflight makes of it all."""

import json
from collections import Counter
from typing import Any

from hypothesis import strategies as st

from tests.machine.audit import LEGACY, SCOPED, Name, claimed_workspace, copy_state, fault, legacy_ids, name_of
from tests.machine.checks import Checks
from tests.machine.damage import Damage
from tests.machine.old import OldProcesses
from tests.machine.sides import Side
from tests.machine.twin import acts, names

_DAY = 90_000  # seconds; a little more than proofs are good for
_RECORDS = ("passes", "verifications", "statements")

EVENTS = acts(
    "beside",
    what=st.sampled_from(
        [
            *["enqueue"] * 6,
            *["work", "finish", "finish", "drop", "delete", "ttl", "ttl", "ttl"],
            *["accident"] * 9,
            *["expire"] * 4,
            *["restart", "day", "preflight", "throttle"],
        ]
    ),
    name=names,
    number=st.integers(0, 3),
)


class Times(Checks, OldProcesses, Damage):
    """Rules of what happens to the server as a whole."""

    def beside(self, what: str, name: Name, number: int) -> None:
        """Old processes do something, something is damaged or mended, a job expires, the server restarts."""
        if what in {"enqueue", "work", "finish", "drop", "delete", "ttl"}:
            self.old_process(what, name, number % 3)
        elif what == "accident":
            self.accident(name, number)
        elif what == "expire":
            mortal = self.names(lambda known: -1 not in known.expires)
            if mortal:
                self.expire(mortal[number % len(mortal)])
        elif what == "restart":
            self.server_restarts()
        elif what == "day":
            self.day_passes()
        elif what == "preflight":
            self.preflight()
        else:
            self.throttle()

    def server_restarts(self) -> None:
        """Another process has the same data: no cursor means anything any more, and no proof counts."""
        self.step()
        self.walks.clear()
        for side in self.sides:
            side.restart()
            self.floor(side).process += 1
            self.proofs[side.name].process += 1
            check = self.checks.get(side.name)
            if check:
                check.engine._engine.server = "another process"

    def day_passes(self) -> None:
        """Everything that is recorded was a day ago."""
        if self.checks:
            return
        self.step()
        for side in self.sides:
            self.proofs[side.name].day += 1
            for name in _RECORDS:
                key = f"ai:migration:{name}"
                for scope, text in side.client.hgetall(key).items():
                    record = json.loads(text)
                    aged = {n: v - _DAY if n in {"at", "started_at", "finished_at"} else v for n, v in record.items()}
                    side.client.hset(key, scope, json.dumps(aged))

    def preflight(self) -> None:
        """It counts what is there, and changes nothing."""
        self.step()
        for side in self.sides:
            before = side.snapshot("*")
            found = side.migration.preflight(mode="dry_run").survey
            assert side.snapshot("*") == before
            ids = legacy_ids(side.data)
            states = [(n[0], copy_state(side.data, *n)) for key in side.data if (n := name_of(key))]
            assert found.legacy == Counter(claimed_workspace(side.data, i) for i in ids if not fault(side.data, i))
            assert found.invalid == Counter(fault(side.data, i) for i in ids if fault(side.data, i))
            assert found.copies == Counter(w for w, state in states if state == "whole")
            assert found.partial == Counter(w for w, state in states if state == "partial")
            third = [k for k in side.data if k.startswith(SCOPED) and not k.startswith(LEGACY) and not name_of(k)]
            assert found.third_generation + found.other_type == len(third) + sum(
                state == "other" for _, state in states
            )

    def throttle(self) -> None:
        """The rate is that of the run that holds the lease; this one slows nobody."""
        self.step()
        for side in self.sides:
            answer: Any = side.attempt(_hasten)
            holder = self.floor(side).lease
            assert answer == holder if holder else answer.__name__ == "Refused"


def _hasten(side: Side) -> Any:
    return side.migration.throttle(10**9)
