"""What one server's migration has proven, and what the gates must make of it: the contract's table once more."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.machine.audit import Name

EVERYONE = "*"


@dataclass(frozen=True)
class Verified:
    """A verification that has ended; ``stages`` are those that were in force from its beginning to its end."""

    begun: int
    epoch: int | None
    process: int
    day: int
    stages: Mapping[str, str]
    findings: Counter[tuple[str, str]]  # workspace and finding

    def stage(self, scope: str) -> str:
        """Where a scope stood."""
        return self.stages.get(scope, self.stages.get(EVERYONE, ""))

    def clean(self, scope: str, own: set[str], wanted: tuple[str, ...]) -> bool:
        """Whether none of these findings is of the scope; the default is of all who have no stage of their own."""
        covers = (lambda w: w not in own) if scope == EVERYONE else (lambda w: w == scope)
        return not any(number for (w, finding), number in self.findings.items() if covers(w) and finding in wanted)


@dataclass(frozen=True)
class Passed:
    """A pass that is complete."""

    epoch: int
    process: int
    day: int


@dataclass
class Proofs:
    """Of one server; ``process`` counts its restarts, ``day`` the days that have passed."""

    process: int = 0
    day: int = 0
    verified: dict[str, Verified] = field(default_factory=dict)
    passed: dict[str, Passed] = field(default_factory=dict)

    def hold(
        self,
        target: str,
        scope: str,
        epoch: int,
        own: set[str],
        statements: Mapping[str, tuple[int, int]],
        unacknowledged: int,
        withdrawn: int,
    ) -> bool:
        """Whether the gate to ``target`` holds for a scope."""
        if target in {"legacy", "dual_write"}:
            return True
        found = [self.verified[name] for name in {scope, EVERYONE} if name in self.verified]
        said = [statements[n][0] for n in {scope, EVERYONE} if n in statements and statements[n][1] == epoch]
        after = [v for v in found if said and v.begun >= max(said)]
        if target == "new_first":
            wanted: tuple[str, ...] = ("different", "extra")
            good = [v for v in after if v.process == self.process and v.stage(scope) == "dual_write"]
            good = [v for v in good if v.epoch == epoch and v.clean(scope, own, wanted)]
        elif target == "new_only":
            passed = [self.passed[name] for name in {scope, EVERYONE} if name in self.passed]
            fresh = any((p.epoch, p.process, p.day) == (epoch, self.process, self.day) for p in passed)
            wanted = ("missing", "different", "extra")
            good = [v for v in found if (v.epoch, v.process, v.day) == (epoch, self.process, self.day)]
            # An old process may have created a job behind a walk that was begun earlier.
            later = [v for v in good if v.stage(scope) in {"new_first", "new_only"} and v.begun >= withdrawn]
            good = [v for v in good if v in after or v in later]
            good = [v for v in good if fresh and not unacknowledged and v.clean(scope, own, wanted)]
        else:
            return False
        if not good:
            return False
        latest = max(v.begun for v in good)
        return all(v.clean(scope, own, wanted) for v in found if v.begun > latest)


def by_workspace(findings: Mapping[Name, str]) -> Counter[tuple[str, str]]:
    """Findings that are not equal, counted."""
    return Counter((name[0], found) for name, found in findings.items() if found != "equal")
