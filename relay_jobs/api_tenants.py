"""Who may do what: only a valid key yields a tenant, and only a tenant reaches the store, for its own workspace."""

from collections.abc import Sequence

import redis

from relay_jobs.api_cursors import Cursors
from relay_jobs.api_keys import ApiKey, ApiKeys, Scope
from relay_jobs.api_problems import NOT_FOUND, SCOPE, UNAUTHORIZED, Problem
from relay_jobs.errors import InvalidJobId
from relay_jobs.jobs import Job, JobStatus, NewJob, Page
from relay_jobs.store import JobStore

_CHALLENGE = 'Bearer realm="relay-jobs"'


class Tenant:
    """The jobs of one key's workspace; there is no way from here to another one's."""

    def __init__(self, key: ApiKey, store: JobStore, cursors: Cursors) -> None:
        self.key = key
        self._store, self._cursors = store, cursors

    def execute(self, jobs: Sequence[NewJob]) -> list[str]:
        """Queue all of them or none; their ids."""
        queued = self._store.enqueue_many(self.key.workspace_id, jobs, self.key.actor_id)
        return [each.job_id for each in queued]

    def job(self, job_id: str) -> Job:
        """A job of this workspace.

        Raises:
            Problem: unknown, foreign, or an id that no job can have: all the same.
        """
        try:
            found = self._store.get_job(job_id, self.key.workspace_id)
        except InvalidJobId:
            found = None
        if found is None:
            raise Problem(NOT_FOUND)
        return found

    def jobs(self, status: JobStatus | None, limit: int, cursor: str | None) -> Page:
        """One page of this workspace's jobs."""
        workspace, wanted = self.key.workspace_id, status or ""
        opened = self._cursors.open(cursor, workspace, wanted)
        page = self._store.list_jobs(workspace, status, limit, opened)
        return Page(page.items, self._cursors.seal(page.next_cursor, workspace, wanted))


class Tenants:
    """Tells tenants by their keys; nothing is remembered, so that a revoked key is refused at once.

    Args:
        client: whose keys and jobs.
        store: the job store on it.
        retry_attempts: how often a look-up is sent again after a connection error.
    """

    def __init__(self, client: "redis.Redis", store: JobStore, retry_attempts: int) -> None:
        self._store = store
        self._keys, self._cursors = ApiKeys(client, retry_attempts), Cursors(client)

    def admit(self, authorization: Sequence[str], scope: Scope) -> Tenant:
        """The tenant of a request.

        Args:
            authorization: every such header of it.
            scope: what it is about to do.

        Raises:
            Problem: no key or none that is valid; a key without the scope.
        """
        kind, _, token = authorization[0].partition(" ") if len(authorization) == 1 else ("", "", "")
        key = self._keys.find(token.strip(" ")) if kind.lower() == "bearer" else None
        if key is None:
            refused = f'{_CHALLENGE}, error="invalid_token"' if authorization else _CHALLENGE
            raise Problem(UNAUTHORIZED, headers={"WWW-Authenticate": refused})
        if scope not in key.scopes:
            challenge = f'{_CHALLENGE}, error="insufficient_scope", scope="{scope}"'
            raise Problem(SCOPE, headers={"WWW-Authenticate": challenge})
        return Tenant(key, self._store, self._cursors)
