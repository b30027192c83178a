"""Settings of a process, parsed once from its environment; flags are mapped to a stage here and nowhere else."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from relay_jobs.errors import SettingsError
from relay_jobs.stages import (
    LEGACY_WRITES,
    NEW_SCHEMA,
    READ_FALLBACK_OLD,
    READ_PREFERS_NEW,
    Flags,
    Stage,
    stage_from_flags,
)

_TRUE = frozenset({"on", "true", "1", "yes"})
_FALSE = frozenset({"off", "false", "0", "no"})

PREFIX = "RELAY_JOBS_"
_WHOLE = frozenset({"retry_attempts", "max_workspace_labels"})
_CONNECTION, _USER, _ADDRESS = r"[\w.-]+", r"[\w.@+-]+", r"[\w.+-]+@[\w.-]+"
# What one entry of a text is, in words and as a pattern; without an entry of its own a setting is a number.
_TEXTS = {
    "approval_webhooks": ("ids of Airflow connections, divided by commas, not addresses", _CONNECTION),
    "approval_emails": ("mail addresses, divided by commas", _ADDRESS),
    "approvers": ("ids of Airflow users, divided by commas", _USER),
}


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of one process.

    Attributes:
        flags: the changelog's flags; they rule only while no stage is recorded.
        claim_lease_seconds: how long a claim is held without a heartbeat.
        retry_attempts: how often a call is sent again after a connection error.
        lease_seconds: time to live of a run's lease; also how long another run waits for it.
        proof_max_age_hours: how old a pass or verification may be for a gate.
        latency_budget_ms: how long a tenant's command may come to wait because of a polite walk.
        max_workspace_labels: how many workspaces get a metric label of their own.
        approval_timeout_hours: how long an approval is waited for.
        approval_webhooks: Airflow's HTTP connections that are told when a run waits for its approval.
        approval_emails: addresses that get a mail then, through Airflow's SMTP connection.
        approvers: Airflow's ids of those who may answer; none: whoever may act on the run.
    """

    flags: Flags = Flags()
    claim_lease_seconds: float = 60
    retry_attempts: int = 3
    lease_seconds: float = 30
    proof_max_age_hours: float = 24
    latency_budget_ms: float = 1
    max_workspace_labels: int = 100
    approval_timeout_hours: float = 24
    approval_webhooks: tuple[str, ...] = ()
    approval_emails: tuple[str, ...] = ()
    approvers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse flags that contradict each other in every stage."""
        if not self.flags.legacy_writes and not (self.flags.new_schema and self.flags.read_prefers_new):
            msg = f"{LEGACY_WRITES}=off contradicts the other flags: it needs {NEW_SCHEMA}=on and {READ_PREFERS_NEW}=on"
            raise SettingsError(msg)

    @property
    def latency_budget(self) -> float:
        """Of a polite walk, in seconds."""
        return self.latency_budget_ms / 1000

    @property
    def flag_stage(self) -> Stage:
        """The stage that the flags mean."""
        # Without legacy writes and with READ_FALLBACK_OLD on, the flags fit no stage by themselves but agree with one.
        return stage_from_flags(self.flags) or Stage.SEALED

    def require_own_stage(self) -> None:
        """Refuse flags that fit no stage by themselves, where none is recorded that would rule.

        Raises:
            SettingsError: names the flags and what they need.
        """
        if stage_from_flags(self.flags) is None:
            msg = f"no stage is recorded, and {LEGACY_WRITES}=off by itself needs {READ_FALLBACK_OLD}=off too"
            raise SettingsError(msg)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> "Settings":
        """Settings from a mapping (default: the process's environment).

        Flags take ``on/off/true/false/1/0/yes/no`` in any case; the other settings are positive numbers, or texts, in
        ``RELAY_JOBS_<NAME>``.

        Raises:
            SettingsError: a value that is not understood, or flags that contradict each other.
        """
        env = os.environ if environ is None else environ
        flags = Flags(
            new_schema=_flag(env, NEW_SCHEMA),
            read_prefers_new=_flag(env, READ_PREFERS_NEW),
            read_fallback_old=_flag(env, READ_FALLBACK_OLD),
            legacy_writes=_flag(env, LEGACY_WRITES),
        )
        names = [field.name for field in fields(cls) if field.name != "flags"]
        given = {name: _texts(env, name) if name in _TEXTS else _number(env, name) for name in names}
        return cls(flags=flags, **{name: value for name, value in given.items() if value is not None})


def environment_names() -> tuple[str, ...]:
    """Every environment name that :meth:`Settings.from_env` reads."""
    ours = (f"{PREFIX}{field.name.upper()}" for field in fields(Settings) if field.name != "flags")
    return (NEW_SCHEMA, READ_PREFERS_NEW, READ_FALLBACK_OLD, LEGACY_WRITES, *ours)


def _flag(env: Mapping[str, str], name: str) -> bool:
    text = env.get(name)
    if text is None:
        return True
    value = text.strip().lower()
    if value in _TRUE | _FALSE:
        return value in _TRUE
    msg = f"{name}={text!r:.40} is not understood: allowed are on, off, true, false, 1, 0, yes, no"
    raise SettingsError(msg)


def _number(env: Mapping[str, str], name: str) -> Any:
    variable = f"{PREFIX}{name.upper()}"
    text = env.get(variable)
    if text is None:
        return None
    try:
        value = float(text.strip())
    except ValueError:
        value = -1.0
    whole = name in _WHOLE
    # Written so that NaN is refused too.
    if not 0 < value < 1e9 or (whole and value != int(value)):
        msg = f"{variable}={text!r:.40} is not understood: allowed is a positive {'whole ' if whole else ''}number"
        raise SettingsError(msg)
    return int(value) if whole else value


def _texts(env: Mapping[str, str], name: str) -> Any:
    variable = f"{PREFIX}{name.upper()}"
    text = env.get(variable, "").strip()
    meaning, pattern = _TEXTS[name]
    entries = tuple(entry.strip() for entry in text.split(",")) if text else ()
    if any(not re.fullmatch(pattern, entry) for entry in entries):
        msg = f"{variable}={text!r:.80} is not understood: allowed are {meaning}"
        raise SettingsError(msg)
    return entries or None
