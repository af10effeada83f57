"""Changes of a loop on a simulated device: what each costs is known, and the comparison names it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fusion.host import Host, Loop, recorded
from traceanalyzer import compare

STEPS = 6


def without(host: Host, number: int, mended: bool) -> None:
    """Ten parts of a step, launched far ahead of the device."""
    for _ in range(10):
        host.kernels(4, 250)
        host.works(150)


def reads_a_value(host: Host, number: int, mended: bool) -> None:
    for _ in range(10):
        host.kernels(4, 250)
        host.item()
        host.works(150)


def copies_a_batch(host: Host, number: int, mended: bool) -> None:
    without(host, number, mended)
    for _ in range(4):
        host.copies("device", 400, 1 << 20)


def writes_a_checkpoint(host: Host, number: int, mended: bool) -> None:
    without(host, number, mended)
    host.item()
    with host.named("save_checkpoint"):
        host.works(6000)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            reads_a_value,
            "Advised only in the head: the host waits for the device inside the step. "
            "The largest single change is idle time (launch gap): +1.6 ms.",
        ),
        (copies_a_batch, "Memcpy HtoD (Pageable -> Device): +1.6 ms."),
        (writes_a_checkpoint, "idle time (host work): +6.0 ms."),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_made_a_step_slower_is_named_first(changed: Loop, said: str, tmp_path: Path) -> None:
    base, head = (tmp_path / f"{side}.json" for side in ("base", "head"))
    comparison = compare(recorded(without, STEPS, base), recorded(changed, STEPS, head))
    assert comparison.step_ns.verdict == "slower"
    assert said in comparison.sentence
    back = compare(head, base)
    assert back.step_ns.verdict == "faster"
    assert said.replace("+", "-").replace("in the head", "in the base") in back.sentence
