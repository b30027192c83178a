"""docker-compose.yaml says things that Airflow understands, and holds no secret."""

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

AIRFLOW_SERVICES = {"api-server", "dag-processor", "init", "scheduler", "triggerer"}


@pytest.fixture(scope="module")
def text(root) -> str:
    return (root / "docker-compose.yaml").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def services(text) -> dict[str, Any]:
    return yaml.safe_load(text)["services"]


@pytest.fixture(scope="module")
def options() -> set[str]:
    """Every AIRFLOW__SECTION__KEY that the installed Airflow's own configuration describes."""
    package = Path(importlib.util.find_spec("airflow").submodule_search_locations[0])
    described = yaml.safe_load((package / "config_templates/config.yml").read_text(encoding="utf-8"))
    pairs = [(section, key) for section, about in described.items() for key in about["options"]]
    return {f"AIRFLOW__{section}__{key}".upper() for section, key in pairs}


@pytest.fixture(scope="module")
def pools(root) -> dict[str, Any]:
    return json.loads((root / "config/pools.json").read_text(encoding="utf-8"))


def test_every_airflow_setting_exists(services, options):
    names = {name for service in services.values() for name in service.get("environment", {})}
    assert sorted(name for name in names if name.startswith("AIRFLOW__") and name not in options) == []


def test_all_airflow_services_have_one_configuration(services):
    without = {name: dict(services[name]["environment"]) for name in AIRFLOW_SERVICES}
    del without["init"]["AIRFLOW_ADMIN_PASSWORD"]
    assert all(environment == without["scheduler"] for environment in without.values())


def test_what_runs_on_has_a_health_check(services):
    assert {name for name, service in services.items() if "healthcheck" not in service} == {"init"}


def test_secrets_come_from_the_environment_and_have_no_default(text):
    said = re.findall(r"(?:PASSWORD|SECRET|KEY|AUTH): (.+)", text)
    assert said
    assert [value for value in said if not re.search(r"\$\{\w+:\?", value)] == []
    variables = set(re.findall(r"\$\{(\w+)", text))
    assert [v for v in variables if re.search("PASSWORD|SECRET|KEY", v) and re.search(rf"\${{{v}(:?-|}})", text)] == []


def test_make_env_writes_every_secret_that_is_asked_for(root, text):
    makefile = (root / "Makefile").read_text(encoding="utf-8")
    assert [name for name in set(re.findall(r"\$\{(\w+):\?", text)) if f'"{name}":' not in makefile] == []


def test_ports_are_open_to_this_host_only(services):
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_the_connection_names_its_database_where_the_hook_reads_it(services):
    said = services["scheduler"]["environment"]["AIRFLOW_CONN_RELAY_REDIS"]
    connection = json.loads(re.sub(r"\$\{[^}]*\}", "secret", said))
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
