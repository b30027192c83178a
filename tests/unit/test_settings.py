"""Settings are parsed once, from a mapping, and what is not understood is refused by name."""

import pytest

from relay_jobs.errors import SettingsError
from relay_jobs.settings import Settings, environment_names
from relay_jobs.stages import Flags, Stage

TEXTS = {
    "RELAY_JOBS_APPROVAL_EMAILS": ("ops@example.com, on-call@example.com", ("ops@example.com", "on-call@example.com")),
    "RELAY_JOBS_APPROVAL_WEBHOOKS": (" chat_ops ", ("chat_ops",)),
    "RELAY_JOBS_APPROVERS": ("ada,grace", ("ada", "grace")),
}
FLAGS = ["AI_JOBS_NEW_SCHEMA", "READ_PREFERS_NEW", "READ_FALLBACK_OLD", "AI_JOBS_LEGACY_WRITES"]


def test_an_empty_environment_is_the_defaults() -> None:
    """Defaults as in the changelog: all flags on, a lease of a minute."""
    settings = Settings.from_env({})
    assert settings == Settings()
    assert (settings.flags, settings.claim_lease_seconds, settings.flag_stage) == (Flags(), 60, Stage.NEW_FIRST)


@pytest.mark.parametrize("text", ["on", "ON", "true", "True", "1", "yes", " yes ", "\tYES\n"])
def test_words_for_on(text: str) -> None:
    """Any case, surrounding space."""
    assert Settings.from_env({"READ_PREFERS_NEW": text}).flags.read_prefers_new is True


@pytest.mark.parametrize("text", ["off", "OFF", "false", "False", "0", "no", " no ", "\tNO\n"])
def test_words_for_off(text: str) -> None:
    """Any case, surrounding space."""
    assert Settings.from_env({"READ_PREFERS_NEW": text}).flags.read_prefers_new is False


@pytest.mark.parametrize("name", FLAGS)
@pytest.mark.parametrize("text", ["", " ", "2", "offf", "disabled", "none", "0.0", "о"])  # noqa: RUF001 -- Cyrillic
def test_other_words_are_refused(name: str, text: str) -> None:
    """A flag that is not understood stops the start: neither value would be safe."""
    with pytest.raises(SettingsError, match=f"{name}=.* is not understood: allowed are on, off, true, false, 1, 0"):
        Settings.from_env({name: text})


@pytest.mark.parametrize("name", sorted({*environment_names()} - {*FLAGS} - {*TEXTS}))
def test_numbers_are_positive(name: str) -> None:
    """Zero, negative, endless and no numbers are refused by name; others are taken."""
    for text in ("0", "-1", "nan", "inf", "1e12", "", "x", "1,5", "0x10"):
        with pytest.raises(SettingsError, match=f"{name}=.* is not understood: allowed is a positive"):
            Settings.from_env({name: text})
    taken = Settings.from_env({name: " 7 "})
    assert getattr(taken, name.removeprefix("RELAY_JOBS_").lower()) == 7


@pytest.mark.parametrize("name", ["RELAY_JOBS_RETRY_ATTEMPTS", "RELAY_JOBS_MAX_WORKSPACE_LABELS"])
def test_counts_are_whole(name: str) -> None:
    """Half a retry is none."""
    with pytest.raises(SettingsError, match=name):
        Settings.from_env({name: "1.5"})
    assert isinstance(getattr(Settings.from_env({name: "3"}), name.removeprefix("RELAY_JOBS_").lower()), int)


def test_fractions_of_seconds_are_taken() -> None:
    """Times may be fractions."""
    assert Settings.from_env({"RELAY_JOBS_CLAIM_LEASE_SECONDS": "0.25"}).claim_lease_seconds == 0.25


@pytest.mark.parametrize("name", TEXTS)
def test_texts_are_lists_without_blanks(name: str) -> None:
    """Entries are divided by commas; nothing is none of them."""
    text, entries = TEXTS[name]
    taken = Settings.from_env({name: text})
    assert getattr(taken, name.removeprefix("RELAY_JOBS_").lower()) == entries
    assert Settings.from_env({name: " "}) == Settings()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("RELAY_JOBS_APPROVAL_WEBHOOKS", "https://chat.example.com/hook"),
        ("RELAY_JOBS_APPROVAL_EMAILS", "ops@example.com;ada@example.com"),
        ("RELAY_JOBS_APPROVAL_EMAILS", "ops"),
        ("RELAY_JOBS_APPROVERS", "ada,,grace"),
    ],
)
def test_a_text_of_another_kind_is_refused_with_what_is_allowed(name: str, text: str) -> None:
    """An address where a connection is meant would be looked up in vain, at the very moment that it is needed."""
    with pytest.raises(SettingsError, match=f"{name}=.* is not understood: allowed are .*divided by commas"):
        Settings.from_env({name: text})


@pytest.mark.parametrize("name", ["AI_JOBS_NEW_SCHEMA", "READ_PREFERS_NEW"])
def test_flags_that_fit_no_stage_at_all_are_refused(name: str) -> None:
    """Without legacy writes nothing may still depend on legacy copies."""
    with pytest.raises(SettingsError, match="AI_JOBS_LEGACY_WRITES=off contradicts"):
        Settings.from_env({"AI_JOBS_LEGACY_WRITES": "off", "READ_FALLBACK_OLD": "off", name: "off"})


def test_flags_that_need_a_recorded_stage() -> None:
    """AI_JOBS_LEGACY_WRITES=off by itself agrees with `sealed`, but is not enough to mean it."""
    settings = Settings.from_env({"AI_JOBS_LEGACY_WRITES": "off"})
    with pytest.raises(SettingsError, match="no stage is recorded"):
        settings.require_own_stage()
    Settings.from_env({"AI_JOBS_LEGACY_WRITES": "off", "READ_FALLBACK_OLD": "off"}).require_own_stage()


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a mapping it is the environment of the process."""
    monkeypatch.setenv("AI_JOBS_NEW_SCHEMA", "off")
    assert Settings.from_env().flag_stage is Stage.LEGACY


def test_every_name_is_listed() -> None:
    """The list of names is what from_env reads: each one refuses what it does not understand."""
    assert len(set(environment_names())) == len(environment_names())
    for name in environment_names():
        with pytest.raises(SettingsError, match=name):
            Settings.from_env({name: "?"})
