"""Loads the Lua scripts: each gets the names and the ladder from Python, then the shared rules, then its own text."""

import re
from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import Any

import redis
from redis.client import NEVER_DECODE
from redis.exceptions import NoScriptError

from relay_jobs.jobs import JOB_ID_MAX_BYTES, SHOWN_FIELDS, STATUS_ALIASES, TERMINAL, TRANSITIONS
from relay_jobs.keys import LUA_NAMES
from relay_jobs.stages import RULES, Side

Arg = bytes | str | int | float


def _table(pairs: dict[str, str]) -> str:
    return "{" + ",".join(f'["{key}"]={value}' for key, value in pairs.items()) + "}"


# A rule is a local at the left margin, up to the next one.
_RULES = re.compile(r"^(?=local )", re.MULTILINE)
_NAMES = re.compile(r"local (?:function )?([\w, ]+)")
_COMMENT = re.compile(r"^ *--.*\n", re.MULTILINE)
_WORD = re.compile(r"\w+")
_KEY = re.compile(r"\bK\.(\w+)")
# What a script needs no variable for.
_CONSTANTS = {
    "unpack(SHOWN)": ",".join(f'"{name}"' for name in SHOWN_FIELDS),
    "ID_MAX": str(JOB_ID_MAX_BYTES),
}


def _facts() -> str:
    ladder = {
        stage.value: _table(
            {
                "rung": str(stage.rung),
                "legacy": str(Side.LEGACY in rule.writes).lower(),
                "scoped": str(Side.WORKSPACE in rule.writes).lower(),
            }
        )
        for stage, rule in RULES.items()
    }
    reads = {stage.value: ",".join(f'"{side}"' for side in rule.reads) for stage, rule in RULES.items()}
    facts = {
        "EDGES": _table({f"{old}>{new}": "true" for old, new in TRANSITIONS}),
        "TERMINAL": _table({str(status): "true" for status in sorted(TERMINAL)}),
        "ALIASES": _table({old: f'"{new}"' for old, new in STATUS_ALIASES.items()}),
    }
    by_stage = _by_stage("ladder", ladder) + _by_stage("read_order", reads)
    return by_stage + "".join(f"local {name} = {v}\n" for name, v in facts.items())


def _by_stage(name: str, rows: dict[str, str]) -> str:
    """A Lua function of the stage; what it gives is made when it is asked for."""
    # In a stage that it does not know no script goes on: it would take every job for none.
    found = "".join(f' if stage == "{stage}" then return {row} end' for stage, row in rows.items())
    return f"local function {name}(stage){found} error('unknown stage ' .. stage) end\n"


def lean(rules: str, script: str) -> str:
    """A script behind the rules that it uses, and no other: each run makes all of them anew."""
    rules, script = (_COMMENT.sub("", text) for text in (rules, script))
    for name, value in _CONSTANTS.items():
        rules, script = rules.replace(name, value), script.replace(name, value)
    kept, used = [script], set(_WORD.findall(script))
    for rule in reversed(_RULES.split(rules)):
        names = _NAMES.match(rule)
        if names and not used.isdisjoint(_WORD.findall(names[1])):
            kept.append(rule)
            used.update(_WORD.findall(rule))
    return _KEY.sub(lambda key: f'"{LUA_NAMES[key[1]].decode()}"', "".join(reversed(kept)))


@cache
def source(*names: str) -> str:
    """Texts of these files, in order."""
    lua = files("relay_jobs") / "lua"
    return "".join((lua / f"{name}.lua").read_text() for name in names)


# How a script is run by its digest, and by its text; by whether it only reads.
_COMMANDS = {False: ("EVALSHA", "EVAL"), True: ("EVALSHA_RO", "EVAL_RO")}


class Script:
    """One Lua script; calling it runs it in one round trip, replies are bytes whatever the client decodes.

    Args:
        name: the file in ``relay_jobs/lua``, without its ending.
        rules: further files of rules that it needs.
        read_only: run so that the server itself refuses every write.
    """

    def __init__(self, name: str, *rules: str, read_only: bool = False) -> None:
        self.name, self.read_only = name, read_only
        self.write(source("rules", *rules), source(name))

    def write(self, rules: str, own: str) -> None:
        """Make the text that the server is sent, of the rules and the script's own text."""
        self.rules, self.own = rules, own
        self.text = lean(_facts() + rules, own)
        self.sha = sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    def __call__(
        self, client: "redis.Redis", keys: tuple[bytes, ...], *args: Arg, read_only: bool | None = None
    ) -> list[Any]:
        """Run it; a server that does not know it yet is sent the text.

        Raises:
            redis.exceptions.RedisError: as redis-py raises it; no argument is ever part of the message.
        """
        by_sha, by_text = _COMMANDS[self.read_only if read_only is None else read_only]
        reply: list[Any]
        try:
            reply = client.execute_command(by_sha, self.sha, len(keys), *keys, *args, **{NEVER_DECODE: []})
        except NoScriptError:
            reply = client.execute_command(by_text, self.text, len(keys), *keys, *args, **{NEVER_DECODE: []})
        return reply

    def timed(
        self, client: "redis.Redis", keys: tuple[bytes, ...], *args: Arg, read_only: bool | None = None
    ) -> tuple[list[Any], float]:
        """Run it between two looks at the server's clock: its reply, and the seconds of the server that it took.

        A server reads all that a connection has sent before it turns to another, so that nothing comes in between.

        Raises:
            redis.exceptions.RedisError: as redis-py raises it; no argument is ever part of the message.
        """
        commands = _COMMANDS[self.read_only if read_only is None else read_only]
        for command, name in zip(commands, (self.sha, self.text), strict=True):
            with client.pipeline(transaction=False) as pipe:
                pipe.time()
                pipe.execute_command(command, name, len(keys), *keys, *args, **{NEVER_DECODE: []})
                pipe.time()
                # Raised by the pipeline, an error would have the arguments in its text.
                before, reply, after = pipe.execute(raise_on_error=False)
            if not isinstance(reply, NoScriptError):
                break
        for answer in (reply, before, after):
            if isinstance(answer, Exception):
                raise answer
        return reply, after[0] - before[0] + (after[1] - before[1]) / 1e6
