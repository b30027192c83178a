"""The operator on the ladder: any move at any time, and the whole way up as the contract has it."""

from hypothesis import strategies as st

from tests.machine.audit import STAGES
from tests.machine.operators import rank
from tests.machine.passes import Passes
from tests.machine.proofs import EVERYONE
from tests.machine.twin import WORKSPACES, acts

MOVES = acts(
    "steer",
    scope=st.sampled_from([EVERYONE, EVERYONE, *WORKSPACES]),
    way=st.sampled_from(
        [
            "up",
            "up",
            "down",
            *STAGES,
            "climb",
            "climb",
            "rollback",
            "seal",
            "reverse",
            "pause",
            "resume",
            "resume",
            "ack",
        ]
    ),
    gone=st.booleans(),
    override=st.sampled_from([None, None, None, None, "why"]),
)


class Climbing(Passes):
    """Rules of moves."""

    def steer(self, scope: str, way: str, gone: bool, override: str | None) -> None:
        """A move to the next rung, to any, or by the operator's whole way; or what needs no gate."""
        stood = rank(self.standing(scope))
        if way == "climb":
            self.climb(scope, STAGES[min(stood + 1 + gone, 3)])
        elif way in {"rollback", "seal", "reverse"}:
            getattr(self, way)(scope)
        elif way == "ack":
            self.acknowledge()
        elif way in {"pause", "resume"}:
            self.pause(way == "pause")
        else:
            to = {"up": STAGES[min(stood + 1, 4)], "down": STAGES[max(stood - 1, 0)]}.get(way, way)
            self.move(scope, to, gone, override)

    def climb(self, scope: str, to: str) -> None:
        """The operator's whole way up, as the contract's table has it."""
        chosen = () if scope == EVERYONE else (scope,)
        while rank(self.standing(scope)) < rank(to):
            stood = self.standing(scope)
            if stood == "dual_write":
                self.move(scope, "new_first", gone=True)
                self.and_then(self.repair, chosen)
                self.and_then(self.verify, chosen)
            elif stood == "new_first":
                self.and_then(self.pause, False)
                self.and_then(self.backfill, chosen, 2)
                self.and_then(self.verify, chosen)
                self.and_then(self.acknowledge)
            self.and_then(self.move, scope, STAGES[rank(stood) + 1])
            if self.standing(scope) == stood:
                return
