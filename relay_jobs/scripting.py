"""Loads the Lua scripts: each gets the names and the ladder from Python, then the shared rules, then its own text."""

from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import Any, cast

import redis
from redis.client import NEVER_DECODE
from redis.exceptions import NoScriptError

from relay_jobs.jobs import JOB_ID_MAX_BYTES, STATUS_ALIASES, TERMINAL, TRANSITIONS
from relay_jobs.keys import LUA_NAMES
from relay_jobs.stages import RULES, Side

Arg = bytes | str | int | float


def _table(pairs: dict[str, str]) -> str:
    return "{" + ",".join(f'["{key}"]={value}' for key, value in pairs.items()) + "}"


def _facts() -> str:
    names = _table({name: f'"{key.decode()}"' for name, key in LUA_NAMES.items()})
    ladder = {
        stage.value: _table(
            {
                "rung": str(stage.rung),
                "legacy": str(Side.LEGACY in rule.writes).lower(),
                "scoped": str(Side.WORKSPACE in rule.writes).lower(),
                "reads": "{" + ",".join(f'"{side}"' for side in rule.reads) + "}",
            }
        )
        for stage, rule in RULES.items()
    }
    edges = _table({f"{old}>{new}": "true" for old, new in TRANSITIONS})
    terminal = _table({str(status): "true" for status in sorted(TERMINAL)})
    aliases = _table({old: f'"{new}"' for old, new in STATUS_ALIASES.items()})
    return (
        f"local K = {names} local LADDER = {_table(ladder)} local EDGES = {edges} "
        f"local TERMINAL = {terminal} local ALIASES = {aliases} local ID_MAX = {JOB_ID_MAX_BYTES}\n"
    )


@cache
def source(*names: str) -> str:
    """Full text of a script as the server sees it: the facts and these files, in order."""
    lua = files("relay_jobs") / "lua"
    return _facts() + "".join((lua / f"{name}.lua").read_text() for name in names)


class Script:
    """One Lua script; calling it runs it in one round trip, replies are bytes whatever the client decodes.

    Args:
        name: the file in ``relay_jobs/lua``, without its ending.
        rules: further files of rules that it needs.
        read_only: run so that the server itself refuses every write.
    """

    def __init__(self, name: str, *rules: str, read_only: bool = False) -> None:
        self.name, self.read_only = name, read_only
        self.text = source("rules", *rules, name)
        self.sha = sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    def __call__(
        self, client: "redis.Redis", keys: tuple[bytes, ...], *args: Arg, read_only: bool | None = None
    ) -> list[Any]:
        """Run it; a server that does not know it yet is sent the text.

        Raises:
            redis.exceptions.RedisError: as redis-py raises it; no argument is ever part of the message.
        """
        suffix = "_RO" if (self.read_only if read_only is None else read_only) else ""
        options: dict[str, Any] = {NEVER_DECODE: []}
        try:
            reply = client.execute_command(f"EVALSHA{suffix}", self.sha, len(keys), *keys, *args, **options)
        except NoScriptError:
            reply = client.execute_command(f"EVAL{suffix}", self.text, len(keys), *keys, *args, **options)
        return cast("list[Any]", reply)
