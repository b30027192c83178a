"""What is damaged: records that are no jobs, what the predecessor left behind, copies that were changed by hand."""

from tests.machine.audit import WRITES, Name, copy_state, fault, legacy_key, name_of, owner, scoped_key
from tests.machine.twin import FOR_EVER, IDS, WORKSPACES, Twin

DAMAGE: dict[str, dict[str, str] | None] = {
    "wrong_type": None,
    "no_workspace": {"status": "pending", "params": "1"},
    "bad_workspace": {"workspace_id": "a b", "status": "pending"},
    "id_mismatch": {"workspace_id": "a", "job_id": "other", "status": "pending"},
}
_THIRD_GENERATION = (b"ai:job:third", b"ai:job:a:third")
LEFT_BEHIND = ("partial", "foreign", "mismatch", "string", "list")


class Damage(Twin):
    """Accidents, and what mends them."""

    def accident(self, name: Name, number: int) -> None:
        """Something is damaged, or what was damaged is mended."""
        what = self.ledger.step % 10
        if what < 2:
            self.damage_legacy(name[1], sorted(DAMAGE)[number], queued=name[0] == "a")
        elif what < 4:
            self.damage_copy(name, (*LEFT_BEHIND, "partial")[(number + self.ledger.step) % 6])
        elif what == 4:
            self.mend_legacy()
            self.and_then(self.mend_copy, name)
        elif what < 9:
            own = self.names(lambda known: WRITES[self.ledger.stage(known.workspace)] == "LW")
            if own:
                self.tamper(
                    own[(IDS.index(name[1]) + number) % len(own)], ["change", "delete", "expiry", "spoil"][number]
                )
        else:
            self.third_generation(_THIRD_GENERATION[number % 2])

    def damage_legacy(self, job_id: str, kind: str, queued: bool) -> None:
        """Something under a legacy name that is no valid job."""
        if not self.free(job_id) or not any(self.old_may_write(name) for name in ("a", "b-c")):
            return
        self.step(("a", job_id))
        fields = DAMAGE[kind]
        key = legacy_key(job_id)
        self.each(lambda client: client.set(key, "x") if fields is None else client.hset(key, mapping=fields))
        if queued:
            self.ledger.queue.append(job_id.encode())
            self.each(lambda client: client.rpush("ai:queue:pending", job_id))

    def mend_legacy(self) -> None:
        """What was quarantined is removed."""
        damaged = [job_id for job_id in IDS if fault(self.sides[0].data, job_id) not in {"", "absent"}]
        if damaged:
            self.step(*((workspace, damaged[0]) for workspace in WORKSPACES))
            self.each(lambda client: client.delete(legacy_key(damaged[0])))

    def damage_copy(self, name: Name, kind: str) -> None:
        """What the predecessor left under a workspace copy's name, where there is no copy."""
        key = scoped_key(*name)
        if any(key in side.data for side in self.sides):
            return
        self.disturb(name)
        if kind == "string":
            self.each(lambda client: client.set(key, "x"))
        elif kind == "list":
            self.each(lambda client: client.rpush(key, "x"))
        else:
            other = {
                "foreign": {"workspace_id": "c", "job_id": name[1]},
                "mismatch": {"workspace_id": name[0], "job_id": "z"},
            }
            whole = {"params": "0", "actor_id": "u", "enqueued_at": self.clock.stamp} if kind in other else {}
            fields = {"status": "running", "started_at": "then", **whole, **other.get(kind, {})}
            self.each(lambda client: client.hset(key, mapping=fields))

    def tamper(self, name: Name, how: str) -> None:
        """Somebody changes by hand the copy that the stage does not read first, or removes it."""
        legacy_reads = self.ledger.stage(name[0]) == "dual_write"
        key = scoped_key(*name) if legacy_reads else legacy_key(name[1])
        whole = [copy_state(s.data, *name) == "whole" and owner(s.data, name[1]) == name[0] for s in self.sides]
        if how in {"expiry", "spoil"}:
            # Only the copy that a reader never comes to may outlive the job, only a legacy record can be spoilt.
            how = "expiry" if legacy_reads else "spoil"
        if not all(whole):
            return
        self.disturb(name)
        if not legacy_reads or not self.old_may_write(name[0]):
            # What was proven before says nothing of it.
            self.tainted.add(name[0])
        if how == "delete":
            self.each(lambda client: client.delete(key))
        elif how == "expiry":
            self.each(lambda client: client.pexpireat(key, FOR_EVER))
        elif how == "spoil":
            self.each(lambda client: client.hdel(key, b"workspace_id"))
        else:
            self.each(lambda client: client.hset(key, b"blob", b"by hand"))

    def mend_copy(self, name: Name) -> None:
        """It is removed again."""
        key = scoped_key(*name)
        if all(copy_state(side.data, *name) in {"partial", "other"} for side in self.sides):
            self.disturb(name)
            self.each(lambda client: client.delete(key))

    def third_generation(self, key: bytes) -> None:
        """A record of the older generation, which nothing touches."""
        if key not in self.sides[0].data:
            self.step(name_of(key))
            self.each(lambda client: client.set(key, "{}"))
