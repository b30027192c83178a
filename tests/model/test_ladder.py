"""The ladder of the models is that of the code."""

import re

import pytest

from relay_jobs.stages import RULES, Side, Stage
from tests.model.spin import MODELS

TEXT = (MODELS / "ladder.pml").read_text(encoding="utf-8")


def of(macro: str) -> set[Stage]:
    """Stages of which a macro is true."""
    (condition,) = re.findall(rf"^#define {macro}\(stage\) \((.*)\)$", TEXT, re.MULTILINE)
    return {Stage[part.removeprefix("stage == ")] for part in condition.split(" || ")}


def test_stages_are_numbered_by_their_rung() -> None:
    """Higher is greater, as the models compare them."""
    numbers = re.findall(r"^#define ([A-Z_]+) (\d)$", TEXT, re.MULTILINE)
    assert {Stage[name]: int(number) for name, number in numbers} == {stage: stage.rung for stage in Stage}


@pytest.mark.parametrize(("macro", "side"), [("WRITES_LEGACY", Side.LEGACY), ("WRITES_WORKSPACE", Side.WORKSPACE)])
def test_stages_write_the_same_copies(macro: str, side: Side) -> None:
    """What RULES says of writes."""
    assert of(macro) == {stage for stage, rule in RULES.items() if side in rule.writes}


def test_stages_read_in_the_same_order() -> None:
    """What RULES says of reads."""
    assert of("PREFERS_WORKSPACE") == {stage for stage, rule in RULES.items() if rule.reads[0] is Side.WORKSPACE}
    assert of("FALLS_BACK") == {stage for stage, rule in RULES.items() if len(rule.reads) > 1}


def test_every_stage_is_named_as_in_the_code() -> None:
    """A trail is read beside the command line."""
    names = dict(re.findall(r':: stage == (\w+) -> printf\("stage (\w+)\\n"\)', TEXT))
    assert {Stage[macro]: name for macro, name in names.items()} == {stage: stage.value for stage in Stage}
