"""What an operator changes by hand: stages, pause and rate, the quarantine; and what there is to see."""

import time
from collections.abc import Callable
from typing import Any

import redis

from relay_jobs import control
from relay_jobs.access import require_access
from relay_jobs.errors import Refused, UsageError
from relay_jobs.jobs import parse_workspace
from relay_jobs.ladder import Ladder, Stranger
from relay_jobs.moves import Move, Moves
from relay_jobs.quarantine import Quarantine, Record
from relay_jobs.servers import CLIENT_NAME, REPLICA, Server, bytes_client, identify, name_connections
from relay_jobs.settings import Settings
from relay_jobs.stages import Stage
from relay_jobs.status import status
from relay_jobs.terms import positive


class Steering:
    """Verbs over one server's migration that walk nothing.

    Args:
        client: a ``redis.Redis`` of the job store.
        settings: default: from the environment.
        who: who acts, for history and records.
        sleep: how to rest.

    Raises:
        UnsupportedServer: a cluster, Redis below 7.0, or a server or user without a command that it needs.
    """

    def __init__(
        self,
        client: "redis.Redis",
        settings: Settings | None = None,
        *,
        who: str = "unknown",
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.client = bytes_client(client)
        name_connections(self.client)
        self.settings = settings or Settings.from_env()
        self.who, self._sleep = who, sleep
        self.server: Server = identify(self.client)
        require_access(self.client, engines=True)
        self.ladder = Ladder(self.client)
        self.quarantine = Quarantine(self.client)
        self.moves = Moves(self.client, self.settings, who)

    @property
    def target(self) -> str:
        """Host, port, database and server process, without a password."""
        return self.server.target

    def set_stage(
        self,
        target: Stage,
        workspace: str | None = None,
        *,
        legacy_writers_gone: bool = False,
        override: str | None = None,
    ) -> Move:
        """See :meth:`Moves.set_stage`."""
        self._refuse_replica("a move")
        if workspace is not None:
            parse_workspace(workspace)
        return self.moves.set_stage(target, workspace, legacy_writers_gone=legacy_writers_gone, override=override)

    def rollback(self, workspace: str | None = None) -> list[Move]:
        """See :meth:`Moves.rollback`."""
        self._refuse_replica("a rollback")
        return self.moves.rollback(None if workspace is None else parse_workspace(workspace))

    def pause(self, why: str) -> None:
        """Running and later work rests before its next batch."""
        control.pause(self.client, self.who, why)
        self.ladder.note({"event": "pause", "who": self.who, "why": why})

    def resume(self) -> None:
        """Paused work goes on."""
        control.resume(self.client, self.who)
        self.ladder.note({"event": "resume", "who": self.who})

    def throttle(self, rps: int) -> str:
        """Set the rate of the run that holds the lease; its name."""
        positive("rps", rps)
        run = control.throttle(self.client, rps)
        self.ladder.note({"event": "throttle", "who": self.who, "run": run, "rps": rps})
        return run

    def acknowledge(self, reason: str) -> list[Record]:
        """Acknowledge every quarantined record of now; those that were not before."""
        if not reason.strip():
            msg = "an acknowledgement needs a reason"
            raise UsageError(msg)
        fresh = self.quarantine.acknowledge()
        event = {"event": "quarantine_acknowledged", "who": self.who, "reason": reason, "records": len(fresh)}
        self.ladder.note(event)
        return fresh

    def record_answer(self, run: str, answer: str, why: str) -> None:
        """Keep in the history what became of the question whether a run's full backfill may begin."""
        self._refuse_replica("an approval")
        self.ladder.note({"event": "approval", "run": run, "answer": answer, "who": self.who, "why": why})

    def strangers(self) -> list[Stranger]:
        """Connections that do not carry the library's name: evidence for or against old processes."""
        return self.ladder.strangers(CLIENT_NAME)

    def _refuse_replica(self, what: str) -> None:
        if self.server.replica:
            raise Refused(f"{what} writes; nothing was written", [REPLICA.format(self.server.address)])

    def status(self) -> dict[str, Any]:
        """Stages, the run at work, progress, and what was proven last; plain values."""
        return status(self.client, self.settings, self.server)
