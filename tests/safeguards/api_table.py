"""Safeguards of the HTTP API: who gets in and what for, what is taken, and what is told."""

from tests.safeguards.edits import Edit
from tests.safeguards.safeguard import guard

ADMISSION = (
    guard(
        "a request needs a valid key",
        "api",
        "a request without a key is not refused as such",
        Edit("api_tenants.py", "        if key is None:\n", "        if False:\n"),
    ),
    guard(
        "the secret of a key is compared",
        "4",
        "whoever knows a key's id, which is no secret, is its tenant",
        Edit("api_keys.py", "if not hmac.compare_digest(_digest(secret), expected):", "if not expected:"),
    ),
    guard(
        "a token is read to its end",
        "api",
        "a token with something behind it is taken for the token",
        Edit("api_keys.py", "_TOKEN.fullmatch(token)", "_TOKEN.match(token)"),
    ),
    guard(
        "two authorizations are none",
        "api",
        "a proxy and the server may take different ones of two keys",
        Edit("api_tenants.py", "if len(authorization) == 1 else", "if authorization else"),
    ),
    guard(
        "only the hash of a secret is kept",
        "api",
        "whoever reads the store has every tenant's key",
        Edit("api_keys.py", "return sha256(secret.encode()).hexdigest().encode()", "return secret.encode()"),
    ),
    guard(
        "the look-up of a key is sent again",
        "retry",
        "a request fails for one lost connection, although every call of the job store would not",
        Edit(
            "api_keys.py",
            "record = self._retry.call_with_retry(lambda: self._read(key_id), lambda _: None)",
            "record = self._read(key_id)",
        ),
    ),
    guard(
        "a revoked key is deleted",
        "api",
        "a revoked key goes on being accepted",
        Edit("api_keys.py", "pipe.delete(keys.api_key(key_id))", "pipe.exists(keys.api_key(key_id))"),
    ),
    guard(
        "a key ends at its time",
        "api",
        "a key that was made for a day is accepted for ever",
        Edit(
            "api_keys.py",
            "pipe.pexpireat(keys.api_key(key_id), _milliseconds(ends))",
            "pipe.exists(keys.api_key(key_id))",
        ),
    ),
    guard(
        "a key opens its scopes only",
        "api",
        "a key that may only read makes jobs",
        Edit("api_tenants.py", "        if scope not in key.scopes:\n", "        if False:\n"),
    ),
    guard(
        "the workspace comes from the key",
        "4",
        "a tenant names another workspace in its query and sees that one's jobs",
        Edit(
            "api_routes.py",
            "        require_query(request, tenant.key, self._query)\n",
            "        from dataclasses import replace\n"
            "        named = request.query_params.get('workspace_id', tenant.key.workspace_id)\n"
            "        tenant.key = replace(tenant.key, workspace_id=named)\n",
        ),
    ),
    guard(
        "another identity in the query is refused",
        "4",
        "a tenant that names another workspace is answered as if it had been heard",
        Edit("api_requests.py", "        require_identity({name: value}, key)\n", "        pass\n"),
    ),
    guard(
        "another identity in the body is refused",
        "4",
        "a tenant that names another workspace or actor is answered as if it had been heard",
        Edit("api_requests.py", "        require_identity(value, key)\n", ""),
    ),
    guard(
        "another identity in an action is refused",
        "4",
        "the same, for one of several actions",
        Edit("api_requests.py", "                require_identity(action, key)\n", "                pass\n"),
    ),
    guard(
        "foreign and unknown ids are answered alike",
        "4",
        "a tenant can find out which ids exist in other workspaces",
        Edit(
            "api_tenants.py",
            "            raise Problem(NOT_FOUND)\n",
            "            known = self._store._calls._client.exists('ai:jobs:' + job_id)\n"
            "            raise Problem(NOT_FOUND, headers={'X-Known': '1'} if known else {})\n",
        ),
    ),
    guard(
        "an id that no job can have is unknown",
        "api",
        "such an id is answered otherwise than an unknown one",
        Edit("api_tenants.py", "        except InvalidJobId:\n", "        except ZeroDivisionError:\n"),
    ),
    guard(
        "a cursor is signed",
        "4",
        "a tenant writes its own cursors and begins listings where it was never sent",
        Edit(
            "api_cursors.py",
            "if not hmac.compare_digest(mac, self._mac(cursor, workspace, status)):",
            "if not self._mac(cursor, workspace, status):",
        ),
    ),
)

TAKEN = (
    guard(
        "all actions of a request are one step",
        "api",
        "a request that is refused has queued a part of its actions",
        Edit(
            "api_tenants.py",
            "queued = self._store.enqueue_many(self.key.workspace_id, jobs, self.key.actor_id)",
            "queued = [self._store.enqueue_many(self.key.workspace_id, [job], self.key.actor_id)[0] for job in jobs]",
        ),
    ),
    guard(
        "an announced length is believed",
        "api",
        "a body that says that it is too large is read",
        Edit(
            "api_requests.py",
            "    if length.isdecimal() and int(length[:20]) > BODY_MAX_BYTES:\n",
            "    if False:\n",
        ),
    ),
    guard(
        "a body is counted while it is read",
        "api",
        "a client fills the memory with a body of no announced length",
        Edit("api_requests.py", "        if len(found) > BODY_MAX_BYTES:\n", "        if len(found) > 2**23:\n"),
    ),
    guard(
        "a refused body ends the connection",
        "api",
        "the rest of a body that is too large is read as the next request",
        Edit("api_problems.py", '        headers["Connection"] = "close"\n', "        pass\n"),
    ),
    guard(
        "a head is bounded",
        "api",
        "a client fills the memory with headers that it sends at once",
        Edit("api_protocol.py", " or self._size + len(self.url) > HEAD_MAX_BYTES", ""),
    ),
    guard(
        "what does not end is bounded",
        "api",
        "a client fills the memory with a head or with trailers that never end",
        Edit("api_protocol.py", "if self._unfinished > HEAD_MAX_BYTES and", "if False and"),
    ),
    guard(
        "trailers are no headers",
        "api",
        "what stands behind a body, where a proxy does not look, is taken for a key",
        Edit("api_protocol.py", "        if self._in_head:\n", "        if True:\n"),
    ),
    guard(
        "a request names one host",
        "api",
        "a proxy and the server may take different ones of two hosts",
        Edit("api_protocol.py", "unnamed or self._hosts > 1 or ", ""),
    ),
    guard(
        "a request under way is answered before what follows it is refused",
        "api",
        "a client is told that what it did was not understood, although it was done",
        Edit("api_protocol.py", "            if not cycle.more_body:\n", "            if False:\n"),
    ),
    guard(
        "depth is bounded",
        "api",
        "a payload is stored that other programs cannot read",
        Edit("api_requests.py", "    if not _is_within(value, DEPTH_MAX):\n", "    if False:\n"),
    ),
    guard(
        "a name twice in one object is refused",
        "api",
        "two parsers read two different payloads",
        Edit("api_requests.py", "    if len(found) != len(pairs):\n", "    if False:\n"),
    ),
    guard(
        "half a character is refused",
        "api",
        "a payload is stored that cannot be written as text",
        Edit("api_requests.py", "            json.dumps(value, ensure_ascii=False).encode()\n", "            pass\n"),
    ),
    guard(
        "a body has to say that it is JSON",
        "api",
        "a form on a foreign page is taken for a request",
        Edit("api_requests.py", '    _require_json(request.headers.getlist("content-type"))\n', ""),
    ),
    guard(
        "a query field that is not documented is refused",
        "api",
        "a filter with a typo lists everything",
        Edit(
            "api_requests.py",
            '    if set(names) - known - {"workspace_id", "actor_id"}:\n',
            "    if False:\n",
        ),
    ),
    guard(
        "a query field twice is refused",
        "api",
        "a proxy and the server may take different ones of two values",
        Edit("api_requests.py", "    if len(names) != len(set(names)):\n", "    if False:\n"),
    ),
)

TOLD = (
    guard(
        "params are not shown",
        "10",
        "what a job was asked to do is shown to whoever may read its outcome",
        Edit("api_models.py", '"result": job.result,', '"result": job.result or job.params,'),
    ),
    guard(
        "an answer is JSON",
        "api",
        "one old result that is no JSON makes a whole page unreadable",
        Edit(
            "api_models.py",
            "json.dumps(result, allow_nan=False)",
            "json.dumps(result)",
        ),
    ),
    guard(
        "a store that is away is 503",
        "api",
        "a client cannot tell that it may try again",
        Edit(
            "api_problems.py",
            "(isinstance(error, RedisError) and _transient(error))",
            "False",
        ),
    ),
    guard(
        "an unexpected error is logged by its type",
        "10",
        "the text of an error, which may quote a payload, is in the log",
        Edit(
            "api_middleware.py",
            '_log.error("%s at %s", type(error).__name__,',
            '_log.error("%s at %s", error,',
        ),
    ),
    guard(
        "requests are logged by their route",
        "10",
        "whatever stands in a path or a query is in the log",
        Edit("api_middleware.py", 'route or "(no such route)"', 'scope["path"]'),
    ),
    guard(
        "methods are known ones",
        "10",
        "a word that a client has made up is in the log, and becomes a label",
        Edit("api_metrics.py", "return method if method in _METHODS else OTHER", "return method"),
    ),
    guard(
        "places of a refusal are documented names",
        "10",
        "the name of a field that a client has made up is repeated",
        Edit("api_requests.py", 'str(part) if isinstance(part, int) or part in known else "…"', "str(part)"),
    ),
    guard(
        "metrics name no workspace",
        "4",
        "a tenant reads in /metrics which other workspaces there are and how busy they are",
        Edit(
            "api.py",
            "ApiMetrics(settings.max_workspace_labels if workspace_metrics else 0)",
            "ApiMetrics(settings.max_workspace_labels)",
        ),
    ),
    guard(
        "answers are not stored by others",
        "api",
        "a proxy keeps one tenant's answer",
        Edit("api_middleware.py", '[*message.get("headers", ()), *HEADERS]', '[*message.get("headers", ())]'),
    ),
)
