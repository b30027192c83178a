"""The Dockerfile is made of what is there, installs what is pinned, and has what docker-compose.yaml calls in it.

There is no container engine where this runs: what the image holds is taken from its own description.
"""

import fnmatch
import re
import shlex
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from packaging.specifiers import SpecifierSet

from relay_jobs.cli import app

# Programs of the images that are not ours, of their base (Debian, Alpine, busybox) and of their project.
PROGRAMS = {
    "postgres": {"pg_isready"},
    "valkey/valkey": {"grep", "valkey-cli", "valkey-server"},
    "prom/prometheus": {"wget"},
    "grafana/grafana": {"wget"},
    # Of Airflow's slim image; its entrypoint knows bash, python and Airflow's own commands.
    "relay-jobs-airflow": {"bash", "curl", "python"},
}


@pytest.fixture(scope="module")
def text(root) -> str:
    """The Dockerfile, one instruction a line."""
    return re.sub(r"\\\n\s*", "", (root / "Dockerfile").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def services(root) -> dict[str, Any]:
    return yaml.safe_load((root / "docker-compose.yaml").read_text(encoding="utf-8"))["services"]


def copied(text: str) -> list[str]:
    """Sources from the checkout."""
    lines = re.findall(r"^COPY ((?!--from).*)$", text, re.MULTILINE)
    return [word for line in lines for word in line.split()[:-1] if not word.startswith("--")]


def sent(root: Path, name: str) -> bool:
    """Whether .dockerignore lets a path through to the engine."""
    rules = [line for line in (root / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[0] != "#"]
    assert rules[0] == "*"
    return any(fnmatch.fnmatch(name, rule[1:]) for rule in rules if rule.startswith("!"))


def test_what_is_copied_is_there_and_is_sent_to_the_engine(root, text):
    sources = copied(text)
    assert {"dags", "plugins", "relay_jobs", "config/pools.json"} <= set(sources)
    assert [name for name in sources if not (root / name).exists() or not sent(root, name)] == []


def test_nothing_secret_is_sent_to_the_engine(root):
    assert [name for name in (".env", ".git", ".venv", ".demo", "tests") if sent(root, name)] == []


def test_the_wheel_in_the_image_has_all_of_the_package(text, pyproject):
    """Its folders, and the files that its description names."""
    project = pyproject["project"]
    needed = {*pyproject["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"], project["readme"]}
    assert needed | {"pyproject.toml", "requirements.txt", *project["license-files"]} <= set(copied(text))


def test_every_installation_is_bound_to_the_pins(text):
    """Airflow stays at the image's version, the build needs no newest hatchling, and what came out fits together."""
    installs = re.findall(r"pip install [^&]*", text)
    assert len(installs) == 2
    assert [line for line in installs if not re.search(r"--constraint \S*requirements.txt", line)] == []
    assert '"apache-airflow==${AIRFLOW_VERSION}"' in installs[-1]
    assert "--no-deps --no-build-isolation" in re.findall(r"pip wheel [^&]*", text)[0]
    assert "pip check" in text


def test_the_image_runs_the_python_of_the_tests_and_not_as_root(text, pyproject):
    bases = set(re.findall(r"^FROM \S+-python([\d.]+)", text, re.MULTILINE))
    (version,) = bases
    assert SpecifierSet(pyproject["project"]["requires-python"]).contains(f"{version}.0")
    if sys.version_info[:2] == (3, 11):
        assert version == "3.11"
    assert re.findall(r"^USER (\S+)", text, re.MULTILINE) == ["airflow"]


def test_labels_say_what_the_package_says(text, pyproject):
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', text))
    project = pyproject["project"]
    assert (labels["version"], labels["licenses"]) == (project["version"], project["license"])


def programs(service: dict[str, Any]) -> set[str]:
    """What a service's health check calls."""
    kind, *words = service.get("healthcheck", {"test": ["NONE"]})["test"]
    if kind == "CMD":
        return {words[0]}
    return {shlex.split(part)[0] for line in words for part in re.split(r"\|\||&&|\|", line)}


def test_every_health_check_calls_a_program_of_its_image(services):
    scripts = {script.name for script in entry_points(group="console_scripts")}
    for name, service in services.items():
        image = service["image"].rpartition(":")[0]
        known = PROGRAMS[image] | (scripts if image == "relay-jobs-airflow" else set())
        assert programs(service) <= known, name


def relay_command(words: list[str]) -> str | None:
    """What is wrong with a command of ours, None if nothing is."""
    command = typer.main.get_command(app).commands.get(words[0])
    if command is None:
        return f"no command {words[0]}"
    options = {name for param in command.params for name in param.opts}
    unknown = [word for word in words if word.startswith("--") and word not in options]
    return f"{words[0]}: no {', '.join(unknown)}" if unknown else None


def test_services_of_ours_run_commands_that_exist(services):
    ours = {name: service for name, service in services.items() if service.get("entrypoint") == "relay-jobs"}
    assert set(ours) == {"api", "exporter"}
    assert {name: wrong for name, service in ours.items() if (wrong := relay_command(service["command"].split()))} == {}


def test_airflows_services_run_commands_that_exist(services):
    from airflow.cli.cli_config import core_commands
    from airflow.providers.celery.cli.definition import get_celery_cli_commands

    known = {command.name for command in [*core_commands, *get_celery_cli_commands()]}
    run = {
        name: service["command"].split()[0]
        for name, service in services.items()
        if "env_file" in service and isinstance(service["command"], str)
    }
    assert {"scheduler", "worker", "api-server"} <= set(run)
    assert {name: word for name, word in run.items() if word not in known} == {}
