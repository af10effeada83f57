"""How modules are named together, and where a change has a place."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.fusion.scenes import op, scene, within
from tests.report import example
from traceanalyzer.fusion.module_names import is_in_any, shared_pattern, with_name
from traceanalyzer.fusion.rules import RULES
from traceanalyzer.fusion.suggestions import suggestions
from traceanalyzer.report.context import suggestion_texts


@pytest.mark.parametrize(("paths", "shared"), [
    (("wav2vec2.encoder.layers.0.attention", "wav2vec2.encoder.layers.3.attention"),
     "wav2vec2.encoder.layers.*.attention"),
    (("decoder.block.0.layer.1.cross", "decoder.block.2.layer.1.cross"), "decoder.block.*.layer.1.cross"),
    (("layer1.0.conv2", "layer3.1.conv2"), "layer*.*.conv2"),
    (("blocks.7",), "blocks.7"),
    (("", ""), ""),
])  # fmt: skip
def test_a_number_that_all_have_is_part_of_the_name(paths: tuple[str, ...], shared: str) -> None:
    assert shared_pattern(paths) == shared
    assert all(is_in_any(path, shared) and is_in_any(f"{path}.inner", shared) for path in paths if path)
    assert not is_in_any(None, shared)


def test_a_pattern_means_no_longer_names() -> None:
    assert not is_in_any("blocks.1.normal", "blocks.*.norm")
    assert not is_in_any("blocks.x.norm", "blocks.*.norm")
    assert not is_in_any("outer.blocks.1.norm", "blocks.*.norm")


@pytest.mark.parametrize(("advice", "with_it", "without"), [
    ("Compile the block{, module}: adds.", "Compile the block, net.*: adds.", "Compile the block: adds."),
    ("Compile what rotates{ in module}.", "Compile what rotates in net.*.", "Compile what rotates."),
    ("Write {1, 2} and {module}s.", "Write {1, 2} and net.*s.", "Write {1, 2} and s."),
    ("Set a flag.", "Set a flag.", "Set a flag."),
])  # fmt: skip
def test_advice_names_the_module_that_it_is_about(advice: str, with_it: str, without: str) -> None:
    assert with_name(advice, "net.*") == with_it and with_name(advice, "") == without


def test_every_rule_that_compiles_a_module_names_it_in_its_advice() -> None:
    by_name = [rule for rule in RULES if "{module}" in rule.snippet and "compile" in rule.action.lower()]
    assert len(by_name) >= 5
    assert all("block.3" in with_name(rule.action, "block.3") for rule in by_name)


def test_what_a_suggestion_says_names_its_module_once_and_its_title_not() -> None:
    """The place stands beside the title: on the page, in Markdown and in a terminal."""
    x = (4096, 4096)
    chain = op("exp", x), op("log", x), op("mul", x, x), op("mm", x, x)
    layers = [item for n in range(2) for item in within(f"net.{n}", *chain)]
    for items, where in ((layers, "net.*"), (chain, "")):
        (told,) = [
            each for each in suggestions(scene(*items, freed=True, steps=2)).found or ()
            if each.rule == "pointwise_chain"
        ]  # fmt: skip
        assert told.where == where and told.action.count("net.*") == (where != "")
        assert "module}" not in told.action
        analysis = replace(example.with_suggestions(), suggestions=(told,))
        (text,) = suggestion_texts(analysis) or ()
        assert text.imperative == "Compile the module that holds the chains" and text.action == told.action
        assert text.says_more, "the whole model where it compiles"


def test_what_is_changed_for_the_whole_step_has_no_line_of_a_library() -> None:
    """`model = torch.compile(model)` stands where the script makes the model, wherever its operators run."""
    small = (op("mm", (4, 4), (4, 4), ns=6_000) for _ in range(300))
    (told,) = suggestions(scene(*within("net.0", *small), steps=2, on_cpu=True)).found or ()
    assert told.rule == "small_operators" and told.where == "the whole step"
    assert told.places == ()
