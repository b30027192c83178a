"""The protocol's models: every property holds in every reachable state, and each safeguard is needed for that."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.model.spin import MODELS, ROOT, Search, missing_programs, search

PAGE = (ROOT / "docs/explanation/model.md").read_text(encoding="utf-8")


def rows(title: str) -> list[tuple[str, ...]]:
    """Rows of the table below a title of the page, cells without their backquotes."""
    (text,) = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    lines = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    return [tuple(cell.strip().strip("`") for cell in cells) for cells in lines[2:]]


NAMES = [model for model, _, _ in rows("Models")]
REMOVALS = [(model, macro, broken) for macro, model, _, broken in rows("Removals")]
NOT_NEEDED = [(model, macro) for macro, model, _ in rows("Not needed")]
VARIANTS = {variant for name in NAMES for variant in name.split()[1:]}
TEXTS = {path.stem: path.read_text(encoding="utf-8") for path in MODELS.glob("*.pml")}

Searched = Callable[..., Search]


@pytest.fixture
def searched(tmp_path: Path) -> Searched:
    """Searches a model, named as on the page, with some safeguards taken out."""
    missing_programs()

    def search_all(name: str, *removed: str) -> Search:
        model, *variants = name.split()
        return search(tmp_path, model, *variants, *removed)

    return search_all


@pytest.mark.parametrize("name", NAMES)
def test_every_property_holds_in_every_state(searched: Searched, name: str) -> None:
    """No state is left out, no property is broken, and every statement of the model is reached."""
    found = searched(name)
    assert found.errors == 0, found.trail
    assert found.exhaustive, found.output
    assert found.unreached == []
    print(f"{name}: {found.states:,} states")  # noqa: T201 -- shown by -s


@pytest.mark.parametrize(("name", "macro", "broken"), REMOVALS, ids=[f"{m}-{macro}" for m, macro, _ in REMOVALS])
def test_without_a_safeguard_a_property_breaks(searched: Searched, name: str, macro: str, broken: str) -> None:
    """The property that the page names is broken first."""
    found = searched(name, macro)
    assert found.errors == 1, f"nothing breaks without {macro}"
    assert found.broken == broken, found.trail
    print(found.trail)  # noqa: T201 -- shown by -s


@pytest.mark.parametrize(("name", "macro"), NOT_NEEDED)
def test_without_what_is_not_needed_nothing_breaks(searched: Searched, name: str, macro: str) -> None:
    """What the page calls a second line is one."""
    found = searched(name, macro)
    assert found.errors == 0, found.trail
    assert found.exhaustive, found.output


def test_every_safeguard_that_can_be_taken_out_is_on_the_page() -> None:
    """The macros of the models are those of the page's tables."""
    switches = {(m, macro) for m, text in TEXTS.items() for macro in re.findall(r"(?:ifn?def |defined\()(\w+)", text)}
    found = {(model, macro) for model, macro in switches if macro not in VARIANTS}
    listed = [(model.split()[0], macro) for model, macro, *_ in [*REMOVALS, *NOT_NEEDED]]
    assert sorted(found) == sorted(listed)


def test_every_model_and_property_is_on_the_page() -> None:
    """A property is whatever a model can break."""
    assert {name.split()[0] for name in NAMES} == TEXTS.keys() - {"ladder"}
    broken = {name for text in TEXTS.values() for name in re.findall(r"BREAKS\((\w+)\)", text)} - {"property"}
    assert broken == {name for name, _, _ in rows("Properties")}
