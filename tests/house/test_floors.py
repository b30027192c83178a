"""The ground floor knows the standard library only, and importing the package or parsing a DAG brings no Redis.

That each module imports only from floors below its own is `lint-imports`' part, in `make check`.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator

import pytest


def imported(tree: ast.AST) -> Iterator[str]:
    """Full names of what a module imports, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "."


@pytest.fixture
def ground(floors) -> set[str]:
    """Names of the modules of the two lowest floors."""
    return floors[-1] | floors[-2]


def test_the_ground_floor_is_where_the_rules_are(ground):
    assert {"errors", "jobs", "keys", "stages"} <= ground


def test_the_ground_floor_imports_the_standard_library_only(package, ground):
    modules = [module for module in package if module.path.removeprefix("relay_jobs/").removesuffix(".py") in ground]
    known = sys.stdlib_module_names | {"relay_jobs"}
    foreign = {m.path: sorted(set(imported(m.tree))) for m in modules}
    assert {path: [n for n in names if n.split(".")[0] not in known] for path, names in foreign.items()} == {
        path: [] for path in foreign
    }


def test_what_dags_may_not_import_at_the_top_is_all_that_stands_on_redis(pyproject, floors, ground):
    banned = set(pyproject["tool"]["ruff"]["lint"]["flake8-tidy-imports"]["banned-module-level-imports"])
    above = set().union(*floors) - ground - {"settings", "airflow", "approval", "__main__"}
    assert {name.removeprefix("relay_jobs.") for name in banned if name.startswith("relay_jobs.")} == above


def test_importing_the_package_imports_no_redis(package):
    if not package:
        pytest.skip("no package yet")
    script = "import relay_jobs, sys; print(*{'redis', 'prometheus_client'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert ran.stdout.split() == []


def test_public_names_are_sorted_and_each_exists(package):
    if not package:
        pytest.skip("no package yet")
    import relay_jobs

    names = getattr(relay_jobs, "__all__", [])
    assert list(names) == sorted(set(names))
    assert [name for name in names if getattr(relay_jobs, name, None) is None] == []
