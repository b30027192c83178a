"""What the library does not do: processes without it, time that passes, and what the predecessor left behind."""

from tests.machine.audit import Name, legacy_key, owner, scoped_key
from tests.machine.ledger import Known
from tests.machine.twin import FOR_EVER, IDS, Twin


class OldProcesses(Twin):
    """Rules of what happens beside the library."""

    def old_process(self, what: str, name: Name, number: int) -> None:
        """A process without the library does something to a job of its own."""
        own = self.names(lambda known: self.old_may_write(known.workspace))
        if what == "enqueue" or not own:
            self.enqueue_old(*name, number % 2)
        elif what == "work":
            self.work_old()
        else:
            chosen = own[(IDS.index(name[1]) + number) % len(own)]
            if what == "finish":
                self.finish_old(chosen, ["completed", "failed", "error"][number])
            elif what == "ttl":
                self.set_ttl_old(chosen, [None, 1, 2][number])
            else:
                (self.drop_field_old if what == "drop" else self.delete_old)(chosen)

    def enqueue_old(self, workspace: str, job_id: str, params: int) -> None:
        if not self.free(job_id) or not self.old_may_write(workspace):
            return
        if any(name[1] == job_id for name in self.ledger.claims):
            return  # ids are not used again, and nobody knows whose claim would be whose
        self.disturb((workspace, job_id))
        fields = {
            b"job_id": job_id.encode(),
            b"status": b"pending",
            b"action_provider": b"p",
            b"action_name": b"old",
            b"params": b'{"old": %d}' % params,
            b"workspace_id": workspace.encode(),
            b"actor_id": b"u",
            b"result": b"",
            b"enqueued_at": self.clock.stamp,
            b"started_at": b"",
            b"finished_at": b"",
            b"blob": b"\xff\xfe",
        }
        self.ledger.add(workspace, job_id, fields, old=True)
        self.ledger.queue.append(job_id.encode())
        self.each(lambda client: client.hset(legacy_key(job_id), mapping=fields))
        self.each(lambda client: client.rpush("ai:queue:pending", job_id))

    def old_job(self, name: Name) -> Known | None:
        """A job that an old process may write now."""
        return self.ledger.jobs.get(name) if self.old_may_write(name[0]) else None

    def finish_old(self, name: Name, how: str) -> None:
        known = self.old_job(name)
        if known and not known.ended:
            self.step(name)
            change = {b"status": how.encode(), b"result": b"7", b"finished_at": self.clock.stamp}
            known.fields |= change
            self.each(lambda client: client.hset(legacy_key(name[1]), mapping=change))

    def drop_field_old(self, name: Name) -> None:
        known = self.old_job(name)
        if known and known.fields.pop(b"blob", None):
            self.step(name)
            self.each(lambda client: client.hdel(legacy_key(name[1]), b"blob"))

    def delete_old(self, name: Name) -> None:
        if self.old_job(name):
            self.step(name)
            del self.ledger.jobs[name]
            self.each(lambda client: client.delete(legacy_key(name[1])))

    def set_ttl_old(self, name: Name, days: int | None) -> None:
        known = self.old_job(name)
        if known:
            self.step(name)
            at = -1 if days is None else FOR_EVER + days * 86_400_000
            known.expires = [at, at]
            key = legacy_key(name[1])
            self.each(lambda client: client.persist(key) if days is None else client.pexpireat(key, at))

    def work_old(self) -> None:
        """An old worker pops the queue and starts what it finds."""
        if not self.ledger.queue or self.ledger.queue[0].startswith(b"\x1f"):
            return
        job_id = self.ledger.queue[0].decode()
        workspace = owner(self.sides[0].data, job_id)
        if workspace is None or not self.old_may_write(workspace):
            return
        self.step((workspace, job_id))
        del self.ledger.queue[0]
        self.each(lambda client: client.lpop("ai:queue:pending"))
        known = self.ledger.jobs[workspace, job_id]
        if known.status == "pending":
            change = {b"status": b"running", b"started_at": self.clock.stamp}
            known.fields |= change
            self.each(lambda client: client.hset(legacy_key(job_id), mapping=change))

    def expire(self, name: Name) -> None:
        """Time passes: each copy that has the job's own expiry is gone."""
        known = self.ledger.jobs.get(name)
        if known is None or -1 in known.expires:
            return
        self.step(name)
        del self.ledger.jobs[name]
        for side in self.sides:
            for key in (legacy_key(name[1]), scoped_key(*name)):
                if key in side.data and side.data[key].expires == known.expires[side.number]:
                    side.client.delete(key)
