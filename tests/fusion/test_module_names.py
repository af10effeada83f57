"""How modules are named together, and where a change has a place."""

from __future__ import annotations

import pytest

from tests.fusion.scenes import op, scene, within
from traceanalyzer.fusion.module_names import is_in_any, shared_pattern
from traceanalyzer.fusion.suggestions import suggestions


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


def test_what_is_changed_for_the_whole_step_has_no_line_of_a_library() -> None:
    """`model = torch.compile(model)` stands where the script makes the model, wherever its operators run."""
    small = (op("mm", (4, 4), (4, 4), ns=6_000) for _ in range(300))
    (told,) = suggestions(scene(*within("net.0", *small), steps=2, on_cpu=True)).found or ()
    assert told.rule == "small_operators" and told.where == "the whole step"
    assert told.places == ()
