"""docker-compose.yaml says things that Airflow understands, and holds no secret."""

import importlib.util
import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.executors.executor_constants import CORE_EXECUTOR_NAMES
from airflow.providers.celery.get_provider_info import get_provider_info
from celery.app.defaults import DEFAULTS as CELERY_OPTIONS

from relay_jobs.runs import CHECKPOINT_TTL_MS
from relay_jobs.settings import environment_names
from tests.programs import installed

AIRFLOW_SERVICES = {"api-server", "dag-processor", "init", "scheduler", "triggerer", "worker"}


@pytest.fixture(scope="module")
def text(root) -> str:
    return (root / "docker-compose.yaml").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def compose(text) -> dict[str, Any]:
    return yaml.safe_load(text)


@pytest.fixture(scope="module")
def services(compose) -> dict[str, Any]:
    return compose["services"]


@pytest.fixture(scope="module")
def executors(root) -> dict[str, str]:
    """What each file in config/executor sets, by the name of the file."""
    found = {}
    for path in (root / "config/executor").iterdir():
        (line,) = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
        name, _, found[path.stem] = line.partition("=")
        assert name == "AIRFLOW__CORE__EXECUTOR"
    return found


@pytest.fixture(scope="module")
def options() -> set[str]:
    """Every AIRFLOW__SECTION__KEY that the installed Airflow's and its Celery provider's own configuration describe."""
    package = Path(importlib.util.find_spec("airflow").submodule_search_locations[0])
    core = yaml.safe_load((package / "config_templates/config.yml").read_text(encoding="utf-8"))
    described = [*core.items(), *get_provider_info()["config"].items()]
    pairs = [(section, key) for section, about in described for key in about["options"]]
    return {f"AIRFLOW__{section}__{key}".upper() for section, key in pairs}


@pytest.fixture(scope="module")
def pools(root) -> dict[str, Any]:
    return json.loads((root / "config/pools.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def settings(services) -> dict[str, str]:
    return services["scheduler"]["environment"]


@pytest.fixture
def docker_compose(root, text, tmp_path) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Reads the file as Debian's docker-compose does, which needs no engine for that."""
    program = installed("docker-compose")

    def run(*words: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        values = dict.fromkeys(re.findall(r"\$\{(\w+):\?", text), "secret") | variables
        file = tmp_path / "env"
        file.write_text("".join(f"{name}={value}\n" for name, value in values.items() if value))
        command = [program, "--env-file", str(file), *words]
        bare = {name: os.environ[name] for name in ("HOME", "PATH")}
        return subprocess.run(command, cwd=root, env=bare, capture_output=True, text=True, check=False)

    return run


def test_every_airflow_setting_exists(services, executors, options):
    names = {name for service in services.values() for name in service.get("environment", {})}
    assert sorted(name for name in names if name.startswith("AIRFLOW__") and name not in options) == []
    assert {name for name in names if name.startswith("RELAY_")} <= set(environment_names())
    assert executors
    assert set(executors.values()) <= CORE_EXECUTOR_NAMES | {"CeleryExecutor"}


def test_all_airflow_services_have_one_configuration(services):
    own = {"init": {"AIRFLOW_ADMIN_PASSWORD"}, "worker": {"DUMB_INIT_SETSID"}}
    for name in AIRFLOW_SERVICES:
        environment = dict(services[name]["environment"])
        assert own.get(name, set()) <= set(environment)
        rest = {key: value for key, value in environment.items() if key not in own.get(name, set())}
        assert rest == services["scheduler"]["environment"], name
        assert services[name]["env_file"] == services["scheduler"]["env_file"], name


def test_the_executor_follows_from_the_profile(services, executors):
    """One setting: the file that names the executor is that of the profile, and there is one for every profile."""
    profiles = {profile for service in services.values() for profile in service.get("profiles", [])}
    assert set(executors) == {"local", *profiles}
    assert executors == {"local": "LocalExecutor", "celery": "CeleryExecutor"}
    assert services["scheduler"]["env_file"] == "config/executor/${COMPOSE_PROFILES:-local}.env"
    assert "AIRFLOW__CORE__EXECUTOR" not in services["scheduler"]["environment"]
    assert {name for name, service in services.items() if service.get("profiles")} == {"broker", "worker"}


def test_the_broker_does_not_hand_out_a_running_task_again(settings):
    """A partition may run as long as its checkpoint lives."""
    seconds = int(settings["AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT"])
    assert seconds * 1000 >= CHECKPOINT_TTL_MS
    assert settings["AIRFLOW__CELERY__TASK_ACKS_LATE"] == "true"
    assert settings["AIRFLOW__CELERY__WORKER_PREFETCH_MULTIPLIER"] == "1"
    (name,) = json.loads(settings["AIRFLOW__CELERY__EXTRA_CELERY_CONFIG"])
    assert name in CELERY_OPTIONS


def test_what_may_run_at_once_has_somewhere_to_run(services, settings, pools):
    """Two workers; Airflow starts no more tasks than they have places for, and the pool fits into that."""
    places = services["worker"]["deploy"]["replicas"] * int(settings["AIRFLOW__CELERY__WORKER_CONCURRENCY"])
    assert services["worker"]["deploy"]["replicas"] == 2
    assert int(settings["AIRFLOW__CORE__PARALLELISM"]) == places
    assert pools["relay_backfill"]["slots"] < places


def test_what_saves_something_has_time_for_it(services):
    """Docker gives 10 seconds."""
    waits = {name for name, service in services.items() if int(service.get("stop_grace_period", "0s")[:-1]) >= 60}
    assert waits == {"broker", "postgres", "relay-redis", "scheduler", "worker"}
    assert services["worker"]["environment"]["DUMB_INIT_SETSID"] == "0"


def test_what_runs_on_has_a_health_check_and_comes_back(services):
    assert {name for name, service in services.items() if "healthcheck" not in service} == {"init"}
    assert {name for name, service in services.items() if service["restart"] != "unless-stopped"} == {"init"}


def test_what_is_waited_for_is_there_and_says_when_it_is_ready(services):
    for name, service in services.items():
        for other, wanted in service.get("depends_on", {}).items():
            ready = "service_healthy" if "healthcheck" in services[other] else "service_completed_successfully"
            assert wanted == {"condition": ready}, name
            assert set(services[other].get("profiles", [])) <= set(service.get("profiles", [])), name


def test_secrets_come_from_the_environment_and_have_no_default(text):
    said = re.findall(r"(?:PASSWORD|SECRET|KEY|AUTH): (.+)", text)
    assert said
    assert [value for value in said if not re.search(r"\$\{\w+:\?", value)] == []
    assert re.findall(r"://[^/\s]*:(?!\$\{\w+:\?)[^/@\s]+@", text) == []
    variables = set(re.findall(r"\$\{(\w+)", text))
    assert [v for v in variables if re.search("PASSWORD|SECRET|KEY", v) and re.search(rf"\${{{v}(:?-|}})", text)] == []


def test_make_env_writes_every_secret_and_keeps_what_is_there(root, text, tmp_path):
    asked = set(re.findall(r"\$\{(\w+):\?", text))
    file = tmp_path / ".env"
    file.write_text("COMPOSE_PROFILES=celery\nPOSTGRES_PASSWORD=mine\n")
    command = ["make", "--silent", "--file", str(root / "Makefile"), "env", "PYTHON=python3"]
    for _ in range(2):
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    lines = [line.partition("=")[::2] for line in file.read_text().splitlines()]
    assert sorted(name for name, _ in lines) == sorted({"COMPOSE_PROFILES", *asked})
    assert dict(lines)["POSTGRES_PASSWORD"] == "mine"
    assert min(len(value) for name, value in lines if name in asked - {"POSTGRES_PASSWORD"}) >= 24
    assert file.stat().st_mode & 0o077 == 0


def test_ports_are_open_to_this_host_only(services):
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_images_have_a_version_and_volumes_a_name(root, compose):
    services = compose["services"].values()
    assert [s["image"] for s in services if not re.search(r":v?\d+\.\d+(\.\d+)?$", s["image"])] == []
    mounts = [mount.split(":") for service in services for mount in service.get("volumes", [])]
    named = {source for source, *_ in mounts if not source.startswith("./")}
    assert named == set(compose["volumes"])
    bound = [mount for mount in mounts if mount[0].startswith("./")]
    assert bound
    assert [mount for mount in bound if mount[2:] != ["ro"] or not (root / mount[0]).is_dir()] == []


def test_the_connection_names_its_database_where_the_hook_reads_it(services, settings):
    connection = json.loads(re.sub(r"\$\{[^}]*\}", "secret", settings["AIRFLOW_CONN_RELAY_REDIS"]))
    assert connection["conn_type"] == "redis"
    assert connection["host"] in services
    assert isinstance(connection["extra"]["db"], int)


def test_the_pool_file_is_what_airflow_imports(pools):
    assert set(pools) == {"relay_backfill"}
    for pool in pools.values():
        assert set(pool) == {"description", "include_deferred", "slots"}
        assert pool["slots"] >= 1
        assert pool["description"]


def test_the_pool_is_imported_from_where_the_image_has_it(root, services):
    (place,) = set(re.findall(r"/opt/airflow/\S+pools\.json", " ".join(services["init"]["command"])))
    assert f"config/pools.json {place}\n" in (root / "Dockerfile").read_text(encoding="utf-8")


@pytest.mark.parametrize("profile", ["", "celery"])
def test_compose_reads_the_file_with_and_without_the_profile(docker_compose, executors, profile):
    answer = docker_compose("config", COMPOSE_PROFILES=profile)
    assert answer.returncode == 0, answer.stderr
    found = yaml.safe_load(answer.stdout)["services"]
    chosen = {found[name]["environment"]["AIRFLOW__CORE__EXECUTOR"] for name in AIRFLOW_SERVICES}
    assert chosen == {executors[profile or "local"]}


def test_compose_refuses_a_profile_without_an_executor_and_a_missing_secret(docker_compose):
    assert "config/executor/monitoring.env" in docker_compose("config", COMPOSE_PROFILES="monitoring").stderr
    assert "is not set, see make env" in docker_compose("config", GRAFANA_ADMIN_PASSWORD="").stderr


def test_the_override_for_a_store_of_ones_own_is_read(docker_compose, root, tmp_path):
    """What the documentation shows reaches every service that uses the store."""
    page = (root / "docs/production.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    override = tmp_path / "override.yaml"
    override.write_text(shown)
    answer = docker_compose("-f", "docker-compose.yaml", "-f", str(override), "config", JOBS_PASSWORD="hidden")
    assert answer.returncode == 0, answer.stderr
    found = yaml.safe_load(answer.stdout)["services"]
    for name in AIRFLOW_SERVICES:
        connection = json.loads(found[name]["environment"]["AIRFLOW_CONN_RELAY_REDIS"])
        assert (connection["host"], connection["password"]) == ("jobs.example.org", "hidden"), name
    for name in ("api", "exporter"):
        assert found[name]["environment"]["REDIS_URL"] == "rediss://migration:hidden@jobs.example.org:6379/0"
