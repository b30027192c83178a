"""Every step on two servers: what both must answer, and what must hold on each of them afterwards."""

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant

from relay_jobs import errors
from tests.machine.audit import (
    LEGACY,
    WRITES,
    Kept,
    Name,
    copy_state,
    fault,
    legacy_key,
    listed,
    name_of,
    owner,
    scoped_key,
    truth,
    view,
)
from tests.machine.ledger import Known, Ledger
from tests.machine.sides import Clock, Side

WORKSPACES = ("a", "b-c")
IDS = ("j", "k:1", "é*", "x y", "m")
NAMES = tuple((workspace, job_id) for workspace in WORKSPACES for job_id in IDS)

# One spelling for each strategy, so that rules read as sentences.
workspaces, ids, names = st.sampled_from(WORKSPACES), st.sampled_from(IDS), st.sampled_from(NAMES)
processes = st.integers(0, 1)
FOR_EVER = 4102444800000
WHOLE = {b"job_id", b"workspace_id", b"params", b"actor_id", b"enqueued_at", b"status"}


def acts(name: str, /, **given: Any) -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
    """Calls of one of the machine's methods, with any arguments of these."""
    return st.tuples(st.just(name), st.fixed_dictionaries(given))


class Twin(RuleBasedStateMachine):
    """Two sides and one ledger."""

    open_sides: ClassVar[Callable[[Clock], tuple[Side, Side]]]

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.sides = type(self).open_sides(self.clock)
        self.ledger = Ledger()
        self.statements: dict[str, tuple[int, int]] = {}  # scope: step and epoch
        self.touched: set[Name | None] = set()
        self.tainted: set[str] = set()  # workspaces where an operator has overridden a gate
        self.apart: set[str] = set()  # workspaces whose legacy copies were not written for a time
        self.disturbed: dict[Name, int] = {}  # the step in which something beside the library was done to a job
        self.wrote: dict[Name, Kept | None] = {}
        self.checked = False

    def writing(self, name: Name) -> None:
        """The library is about to write a job, which is as the ledger has it until now."""
        known = self.ledger.jobs.get(name)
        self.wrote[name] = known and Kept("hash", dict(known.fields), -1)

    def step(self, *touched: Name | None) -> None:
        """A rule begins; it may change copies of these jobs only."""
        self.ledger.step += 1
        self.clock.tick()
        self.touched, self.wrote = set(touched), {}
        self.checked = False

    def ask(self, call: Callable[[Side], Any], expected: Any, shape: Callable[[Any], Any] = lambda x: x) -> None:
        """Both sides must answer what the ledger predicts: a value, or the name of an error."""
        for side in self.sides:
            answer = side.attempt(call)
            if isinstance(answer, type):
                answer = answer.__name__
            elif expected is None or not hasattr(errors, str(expected)):
                answer = shape(answer)
            assert answer == expected, f"{side.name}: {answer!r}, and not {expected!r}"

    def old_may_write(self, workspace: str) -> bool:
        """Old processes are supported in ``legacy`` and ``dual_write``, and until an operator says they are gone."""
        since = self.ledger.withdrawn_at(workspace)
        said = {scope for scope, (at, epoch) in self.statements.items() if epoch == self.ledger.epoch and at >= since}
        return self.ledger.stage(workspace) in {"legacy", "dual_write"} and not said & {"*", workspace}

    def disturb(self, *names: Name) -> None:
        """A step that writes beside the library."""
        self.step(*names)
        self.disturbed |= dict.fromkeys(names, self.ledger.step)

    def each(self, act: Any) -> None:
        """On both servers."""
        for side in self.sides:
            act(side.client)

    def and_then(self, act: Any, *given: Any) -> None:
        """One step more, after all that must hold after the one before."""
        self.holds()
        act(*given)

    def same(self, fact: Callable[[Side], Any]) -> bool:
        """Whether something that a pass may have changed on one side only is the same on both."""
        left, right = (fact(side) for side in self.sides)
        return bool(left == right)

    def names(self, wanted: Callable[[Known], bool] = lambda _: True) -> list[Name]:
        """Names of acknowledged jobs."""
        return [name for name, known in self.ledger.jobs.items() if wanted(known)]

    def adopt(self, workspaces: Iterable[str]) -> None:
        """What the stage reads is right: said by the contract, where an operator has overridden a gate."""
        for workspace in workspaces:
            self.tainted.add(workspace)
            for name in [name for name in NAMES if name[0] == workspace]:
                left, right = (view(side.data, self.ledger.stage(workspace), name) for side in self.sides)
                if left is None or right is None:
                    self.ledger.jobs.pop(name, None)
                    continue
                known = self.ledger.jobs.get(name) or self.ledger.add(*name, {}, old=True)
                known.fields, known.expires = dict(left.value), [left.expires, right.expires]

    @invariant()
    def holds(self) -> None:
        """What must be true after every step."""
        if not self.ledger.stages or self.checked:
            return
        self.checked = True
        for side in self.sides:
            side.look()
        self.tainted = {workspace for workspace in self.tainted if any(self.torn(s, workspace) for s in self.sides)}
        for side in self.sides:
            self.stages_are_as_moved(side)
            self.readers_see_the_ledger(side)
            self.only_what_was_touched_has_changed(side)
            self.copies_are_whole(side)
            self.what_the_stage_writes_was_written(side)
            self.the_index_knows_its_jobs(side)
            assert side.data.get(b"ai:queue:pending", Kept("list", [], -1)).value == self.ledger.queue

    def stages_are_as_moved(self, side: Side) -> None:
        raw = {field.decode(): value.decode() for field, value in side.client.hgetall("ai:migration:stages").items()}
        assert int(raw.pop("*epoch", 0)) == self.ledger.epoch
        assert raw == self.ledger.stages

    def readers_see_the_ledger(self, side: Side) -> None:
        for name in NAMES:
            known, found = self.ledger.jobs.get(name), view(side.data, self.ledger.stage(name[0]), name)
            if known is None or found is None:
                assert found is known, f"{side.name}: {name} should be {known}, and reads as {found}"
            else:
                assert found == Kept("hash", known.fields, known.expires[side.number]), f"{side.name}: {name}"

    def only_what_was_touched_has_changed(self, side: Side) -> None:
        ids_touched = {name[1] for name in self.touched if name}
        for key in side.before.keys() | side.data.keys():
            was, now = side.before.get(key), side.data.get(key)
            if was == now or not key.startswith(b"ai:job"):
                continue
            if key.startswith(LEGACY):
                assert key.removeprefix(LEGACY).decode() in ids_touched, f"{side.name}: {key!r} was {was}, is {now}"
            else:
                assert name_of(key) in self.touched, f"{side.name}: {key!r} was {was}, is {now}"

    def copies_are_whole(self, side: Side) -> None:
        """Every copy that counts has all that an enqueue wrote, whichever schema it is in."""
        for workspace, job_id in NAMES:
            if owner(side.data, job_id) == workspace:
                assert side.data[legacy_key(job_id)].value.keys() >= WHOLE
            if copy_state(side.data, workspace, job_id) == "whole":
                kept = side.data[scoped_key(workspace, job_id)]
                assert kept.value.keys() >= WHOLE
                # Where the copies differ, the place may be the legacy job's.
                other = side.data[legacy_key(job_id)] if owner(side.data, job_id) == workspace else kept
                placed = any(listed(side.data, (workspace, job_id), each) for each in (kept, other))
                assert placed, f"{side.name}: {job_id} has a copy, and no entry"

    def the_index_knows_its_jobs(self, side: Side) -> None:
        for workspace in WORKSPACES:
            index = side.data.get(b"ai:index:" + workspace.encode(), Kept("zset", {}, -1)).value
            wanted = {n[1].encode() for n in self.names(lambda known: not known.old) if n[0] == workspace}
            assert wanted <= index.keys(), f"{side.name}: {wanted - index.keys()} not in the index of {workspace}"

    def what_the_stage_writes_was_written(self, side: Side) -> None:
        """Each copy that the stage writes is as the ledger has it, unless it was stale; the other is untouched."""
        for name, was in self.wrote.items():
            known = self.ledger.jobs[name]
            stage, before = self.ledger.stage(name[0]), side.before
            legacy, copy = legacy_key(name[1]), scoped_key(*name)
            partial = copy_state(before, *name) == "partial"
            foreign = legacy in before and owner(before, name[1]) != name[0]
            for written, key, blocked, unmade in (
                ("L", legacy, foreign, legacy not in before),
                ("W", copy, copy_state(before, *name) == "other", copy not in before or partial),
            ):
                if blocked or written not in WRITES[stage]:
                    assert side.data.get(key) == before.get(key), f"{side.name}: {key!r} was written in {stage}"
                elif unmade or (was and before[key].value == was.value):
                    expires = known.expires[side.number] if unmade else before[key].expires
                    found, now = side.data.get(key), Kept("hash", known.fields, expires)
                    assert found == now, f"{side.name}: {key!r} is {found}, and not {now}"

    def torn(self, side: Side, workspace: str) -> bool:
        """Whether a workspace's two schemas say different things."""
        found = truth(side.data, (workspace,), self.ledger.stages)
        return any(finding != "equal" for finding in found.findings.values())

    def free(self, job_id: str) -> bool:
        """Whether nobody has a job of this id, and no key is in its legacy place."""
        return self.ledger.holder(job_id) is None and all(fault(s.data, job_id) == "absent" for s in self.sides)
