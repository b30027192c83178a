import ast
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Module:
    path: str  # from the root of the checkout
    text: str

    @property
    def lines(self) -> int:
        return len(self.text.splitlines())

    @property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path)

    @property
    def is_test(self) -> bool:
        return self.path.startswith("tests/")


def _modules(*folders: str) -> list[Module]:
    paths = (path for folder in folders for path in sorted((ROOT / folder).rglob("*.py")))
    return [Module(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")) for path in paths]


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def shipped() -> list[Module]:
    """What runs at a user's: the package, the DAGs and the plugin."""
    return _modules("relay_jobs", "scripts", "dags", "plugins")


@pytest.fixture(scope="session")
def package() -> list[Module]:
    return _modules("relay_jobs")


@pytest.fixture(scope="session")
def everything() -> list[Module]:
    return _modules("relay_jobs", "scripts", "dags", "plugins", "demo", "chaos", "tests")


@pytest.fixture(scope="session")
def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def floors(pyproject: dict[str, Any]) -> list[set[str]]:
    """The floors of the package, highest first, as the layers contract lists them."""
    (contract,) = [c for c in pyproject["tool"]["importlinter"]["contracts"] if c["type"] == "layers"]
    return [set(re.findall(r"\w+", layer)) for layer in contract["layers"]]
