"""The documentation names everything there is, and nothing that is not there."""

import ast
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import typer
from prometheus_client import CollectorRegistry

import relay_jobs
from relay_jobs import errors, keys, stages
from relay_jobs.cli import app
from relay_jobs.console import Exit
from relay_jobs.exporter import registry
from relay_jobs.jobs import JobStatus
from relay_jobs.metrics import DURATION_BOUNDS, StoreMetrics
from relay_jobs.parity import Fault, Finding, Outcome
from relay_jobs.settings import environment_names
from tests.servers import Server, real_server, running

__all__ = ["real_server", "running"]

RUNBOOK_LINES = 140


@dataclass(frozen=True)
class Page:
    name: str
    text: str

    @property
    def anchors(self) -> set[str]:
        titles = re.findall(r"^#+ (.*)$", self.text, re.MULTILINE)
        return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}

    def blocks(self, language: str) -> list[str]:
        return re.findall(rf"^```{language}\n(.*?)^```", self.text, re.MULTILINE | re.DOTALL)

    def commands(self) -> Iterator[str]:
        """Every command line: the lines of shell blocks, and code within a sentence."""
        for block in self.blocks("sh"):
            for line in block.splitlines():
                yield from line.split("#")[0].split("&&")
        fenced = re.sub(r"^```.*?^```", "", self.text, flags=re.MULTILINE | re.DOTALL)
        # A command may be broken at the end of a line of prose.
        yield from (" ".join(code.split()) for code in re.findall(r"`([^`]+)`", fenced))


def said(page: Page, name: str) -> bool:
    """Whether a page has a name in code, as a whole word."""
    return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", page.text) is not None


def missing(page: Page, names: Any) -> list[str]:
    return sorted(name for name in {str(name) for name in names} if not said(page, name))


@pytest.fixture(scope="module")
def pages(root) -> dict[str, Page]:
    paths = [root / "README.md", root / "CHANGELOG.md", *sorted((root / "docs").rglob("*.md"))]
    return {
        name: Page(name, path.read_text(encoding="utf-8")) for path in paths if (name := str(path.relative_to(root)))
    }


@pytest.fixture(scope="module")
def reference(pages) -> Any:
    return lambda name: pages[f"docs/reference/{name}.md"]


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], set[str]]]:
    """Every command of the command line with its options."""
    if not hasattr(command, "commands"):
        yield path, {name for param in command.params for name in param.opts if name.startswith("--")}
        return
    for name, found in command.commands.items():
        yield from leaves(found, (*path, name))


COMMANDS = dict(leaves(typer.main.get_command(app)))


def section(page: Page, path: tuple[str, ...]) -> str:
    """What the page says about one command, and about all of them at its top."""
    head, *rest = re.split(r"^## ", page.text, flags=re.MULTILINE)
    return head + "".join(part for part in rest if f"relay-jobs {' '.join(path)}" in part.splitlines()[0])


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_and_option_is_documented(reference, path):
    text = section(reference("cli"), path)
    assert f"`relay-jobs {' '.join(path)}" in text
    assert sorted(option for option in COMMANDS[path] if option not in text) == []


def test_every_exit_code_is_documented(reference):
    rows = re.findall(r"^\| ([\d, ]+) \|", reference("cli").text, re.MULTILINE)
    assert {int(code) for row in rows for code in row.split(",")} == {*Exit, 130, 143}


def test_every_outcome_and_finding_is_explained(reference):
    assert missing(reference("cli"), [*Outcome, *Finding]) == []


def test_every_setting_is_documented(reference):
    assert missing(reference("settings"), environment_names()) == []


def test_no_setting_is_documented_that_does_not_exist(pages):
    names = {name for page in pages.values() for name in re.findall(r"\bRELAY_JOBS_[A-Z_]+\b", page.text)}
    assert names <= set(environment_names())


def test_every_metric_and_label_is_documented(reference, real_server: Server):
    client = real_server.client()
    client.hset(keys.COUNTERS, mapping={f"{outcome}:acme": 1 for outcome in ["scanned", *Outcome]})
    client.hset(keys.STAGES, keys.EVERYONE, stages.Stage.LEGACY)
    migration = list(registry(client).collect())
    library = CollectorRegistry()
    StoreMetrics(library, 1)
    names = {family.name + "_total" * (family.type == "counter") for family in [*migration, *library.collect()]}
    assert len(names) > 10
    labels = [sample.labels for family in migration for sample in family.samples]
    words = {word for each in labels for label, value in each.items() if label != "le" for word in (label, value)}
    assert missing(reference("metrics"), [*names, *words - {"acme"}, *DURATION_BOUNDS]) == []


def test_no_metric_is_documented_that_does_not_exist(reference, package):
    code = "".join(module.text for module in package)
    names = re.findall(r"^\| `([a-z_]+)` \|", reference("metrics").text, re.MULTILINE)
    parts = [name.removesuffix("_total").removeprefix("relay_backfill_") for name in names]
    assert [part for part in parts if part not in code] == []


def dag_params(text: str) -> list[str]:
    """Keys of the module's PARAMS, without importing Airflow."""
    found = [
        n.value for n in ast.parse(text).body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "PARAMS"
    ]
    return [key.value for key in found[0].keys]


def test_every_dag_and_param_is_documented_in_its_section(root, reference):
    parts = re.split(r"^## ", reference("dags").text, flags=re.MULTILINE)
    about = {part.splitlines()[0].strip("`"): part for part in parts}
    for path in sorted((root / "dags").glob("*.py")):
        params = dag_params(path.read_text(encoding="utf-8"))
        documented = re.findall(r"^\| `(\w+)` \| [^|]*\|", about[path.stem].split("| task |")[0], re.MULTILINE)
        assert sorted(documented) == sorted(params), path.stem


def test_every_public_name_and_error_is_documented(reference):
    trees = [name for name, found in vars(errors).items() if isinstance(found, type) and issubclass(found, Exception)]
    assert missing(reference("library"), [*relay_jobs.__all__, *trees, *JobStatus, *stages.Stage]) == []


def test_every_call_of_the_store_is_documented(reference):
    calls = [name for name in vars(relay_jobs.JobStore) if not name.startswith("_")]
    text = reference("library").text
    assert [name for name in calls if f"`{name}(" not in text] == []


def test_every_key_and_fault_is_documented(reference):
    names = {name.decode().removeprefix(keys.OURS.decode()).rstrip(":") for name in keys.LUA_NAMES.values()}
    builders = {"call": keys.call("x"), "digest": keys.digest("w", "x"), "progress": keys.progress("x")}
    own = {
        name
        for name in {*names, *builders, "run", "statements", "passes", "verifications"}
        if not name.startswith("ai:")
    }
    assert len(own) > 20
    assert missing(reference("data"), [*own, *Fault]) == []


def test_every_stage_and_flag_is_documented(reference):
    flags = (stages.NEW_SCHEMA, stages.READ_PREFERS_NEW, stages.READ_FALLBACK_OLD, stages.LEGACY_WRITES)
    assert missing(reference("stages"), [*stages.Stage, *flags]) == []


def test_links_between_pages_resolve(root, pages):
    broken = []
    for page in pages.values():
        for target in re.findall(r"\]\(([^)\s]+)\)", page.text):
            path, _, anchor = target.partition("#")
            if "://" in target:
                continue
            name = os.path.normpath(os.path.join(os.path.dirname(page.name), path)) if path else page.name
            known = name in pages and (not anchor or anchor in pages[name].anchors)
            if not known and not (not anchor and (root / name).exists()):
                broken.append(f"{page.name}: {target}")
    assert broken == []


def wrong_in(command: str) -> str | None:
    """What is wrong with a shown relay-jobs command, None if nothing is."""
    words = shlex.split(command.replace("…", " ").replace("'", '"'), comments=True)
    words = words[words.index("relay-jobs") + 1 :] if "relay-jobs" in words else []
    path: tuple[str, ...] = ()
    while words and any(each[: len(path) + 1] == (*path, words[0]) for each in COMMANDS):
        path = (*path, words.pop(0))
    if path and path not in COMMANDS:
        return None if not words else f"{command}: no such command"
    if not path:
        return None if not words else f"{command}: no such command"
    options = {re.match(r"--[\w-]+", word)[0] for word in words if re.match(r"--\w", word.lstrip("["))}
    unknown = options - COMMANDS[path]
    return f"{command}: {', '.join(sorted(unknown))}" if unknown else None


def test_commands_that_are_shown_exist(pages):
    shown = [(page.name, code.strip()) for page in pages.values() for code in page.commands()]
    ours = [(name, code.strip("[]")) for name, code in shown if re.match(r"(\S+/)?relay-jobs( |$)", code)]
    plain = [(name, re.sub(r"[\[\]|]", " ", re.sub(r"^\S*relay-jobs", "relay-jobs", code))) for name, code in ours]
    assert len(plain) > 60
    assert [f"{name}: {wrong}" for name, code in plain if (wrong := wrong_in(code))] == []


def test_make_targets_that_are_shown_exist(root, pages):
    targets = set(re.findall(r"^([a-z-]+):", (root / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    shown = {
        match[1] for page in pages.values() for code in page.commands() if (match := re.match(r"make ([a-z-]+)", code))
    }
    assert {"demo", "test"} <= shown <= targets


def test_examples_run(real_server: Server, pages, root):
    examples = [block for page in pages.values() for block in page.blocks("python")]
    assert len(examples) > 1
    url = f"redis://127.0.0.1:{real_server.port}"
    for code in examples:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            env={**os.environ, "REDIS_URL": url},
            cwd=root,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        # What an example prints is written beside it.
        assert done.stdout.split() == [
            line.split("# ")[1].split(":")[0] for line in code.splitlines() if "print(" in line
        ]


def test_pages_say_nothing_of_the_machine_they_were_written_on(pages):
    found = {
        name: re.findall(r"(?<![\w.])/(?:work|home|root|tmp|Users)/\S*", page.text) for name, page in pages.items()
    }
    assert {name: paths for name, paths in found.items() if paths} == {}


def test_the_runbook_is_one_page(pages):
    assert len(pages["docs/runbook.md"].text.splitlines()) <= RUNBOOK_LINES
