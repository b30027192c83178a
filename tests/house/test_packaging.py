"""What is installed is what the checkout says: pins, versions, and the files in wheel and sdist."""

import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement


def declared(pyproject: dict[str, Any]) -> list[Requirement]:
    project = pyproject["project"]
    lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    return [requirement for requirement in map(Requirement, lines) if requirement.name != project["name"]]


@pytest.fixture(scope="module")
def pins(root) -> dict[str, str]:
    lines = (root / "requirements.txt").read_text(encoding="utf-8").splitlines()
    found = [re.match(r"([a-z0-9-]+)==([^\s;]+)", line) for line in lines]
    return {match[1]: match[2] for match in found if match}


@pytest.fixture(scope="module")
def dist(root, package, tmp_path_factory) -> Path:
    if not package:
        pytest.skip("no package yet")
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(root)]
    subprocess.run(command, check=True, capture_output=True)
    return out


@pytest.fixture(scope="module")
def belongs(root) -> set[str]:
    """Files that a user of the package needs."""
    folders = ((root / "relay_jobs", "**/*.py"), (root / "relay_jobs", "lua/*.lua"), (root / "scripts", "*.py"))
    return {str(path.relative_to(root)) for folder, pattern in folders for path in folder.glob(pattern)}


def test_the_core_needs_redis_and_prometheus_only(pyproject):
    assert {Requirement(line).name for line in pyproject["project"]["dependencies"]} == {"prometheus-client", "redis"}


def test_the_readme_is_the_package_description_as_soon_as_there_is_one(root, pyproject):
    assert pyproject["project"].get("readme") == ("README.md" if (root / "README.md").exists() else None)


def test_every_declared_dependency_is_pinned_within_its_bounds(pyproject, pins):
    bad = [str(r) for r in declared(pyproject) if r.name not in pins or not r.specifier.contains(pins[r.name])]
    assert bad == []


def test_the_pins_install_from_any_index(root):
    lines = (root / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if re.search(r"://|--hash|--index|--find-links| @ |file:|(^|\s)/", line)] == []


def test_airflow_has_one_version_everywhere(root, pyproject, pins):
    asked = {str(r.specifier) for r in declared(pyproject) if r.name == "apache-airflow"}
    images = re.findall(r"^FROM apache/airflow:slim-([\d.]+)-python", (root / "Dockerfile").read_text(), re.MULTILINE)
    assert asked == {f"=={pins['apache-airflow']}"} == {f"=={image}" for image in images}


def test_the_image_is_named_for_the_package_version(root, pyproject):
    compose = (root / "docker-compose.yaml").read_text(encoding="utf-8")
    assert f"relay-jobs-airflow:{pyproject['project']['version']}\n" in compose


def test_the_wheel_holds_the_package_with_its_lua_and_nothing_else(dist, belongs):
    (wheel,) = dist.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert belongs - names == set()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} <= {"relay_jobs", "scripts"}


def test_the_sdist_holds_the_package_with_its_lua(dist, belongs):
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        assert belongs - {name.split("/", 1)[-1] for name in archive.getnames()} == set()


def test_every_make_target_is_in_its_help(root):
    makefile = (root / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[1].split()
    assert phony == re.findall(r"^([a-z-]+):.* ## ", makefile, re.MULTILINE)
