"""What suggestions free at the peak of memory: by hand, and never more than is in use then."""

from __future__ import annotations

from pathlib import Path

import pytest

import traceanalyzer
from tests.collect.harness import profiled
from tests.pipeline import real
from tests.pipeline.kineto import Tensor
from tests.pipeline.test_memory_use import MIB, Recorded
from traceanalyzer.records import Analysis, Suggestion
from traceanalyzer.report import render

QUERIES: Tensor = ([16, 1024, 64], "c10::Half")
KEYS: Tensor = ([16, 64, 1024], "c10::Half")
SCORES: Tensor = ([16, 1024, 1024], "c10::Half")  # 32 MiB
RESULT: Tensor = ([16, 1024, 64], "c10::Half")  # 2 MiB
PLANE: Tensor = ([4096, 4096], "float")  # 64 MiB


class Calls(Recorded):
    """Operators of 100 µs one behind the other, each with one kernel and one result."""

    begun: float = 100

    def call(self, name: str, dur: float, *inputs: Tensor, result: tuple[int, int], **args: object) -> float:
        """`result`: address and bytes of what it allocates. Its start."""
        start = self.begun
        self.op(name, start, 80, *inputs, **args)
        self.memory(start + 5, *result)
        self.kernel(f"{name}_kernel", start + 20, dur, self.launch(start + 10))
        self.begun = start + 100 + dur
        return start

    def free(self, at: float, address: int, size: int) -> None:
        self.memory(at, address, -size)


def attention(*, until_the_end: bool = False) -> Calls:
    """Scores, softmax, result; the scores are freed under the second matmul, or at the end of the step."""
    t = Calls()
    t.annotation("ProfilerStep#5", 0, 9000)
    t.call("aten::bmm", 300, QUERIES, KEYS, result=(0x1000, 32 * MIB))
    softmax = t.call("aten::_softmax", 300, SCORES, ([], "Scalar"), ([], "Scalar"), result=(0x2000, 32 * MIB),
                     **{"Concrete Inputs": ["", "-1", "False"]})  # fmt: skip
    if not until_the_end:
        t.free(softmax + 50, 0x1000, 32 * MIB)
    last = t.call("aten::bmm", 300, SCORES, QUERIES, result=(0x3000, 2 * MIB))
    if not until_the_end:
        t.free(last + 50, 0x2000, 32 * MIB)
    first = t.call("aten::exp", 30, RESULT, result=(0x4000, 2 * MIB))
    t.free(first + 50, 0x3000, 2 * MIB)
    t.call("aten::relu", 30, RESULT, result=(0x5000, 2 * MIB))
    t.call("aten::sum", 30, RESULT, result=(0x6000, 512))
    for address in (0x1000, 0x2000) if until_the_end else ():
        t.free(8000, address, 32 * MIB)
    return t


def analyzed(trace: Calls, folder: Path) -> Analysis:
    return traceanalyzer.analyze(trace.write(folder / "trace.json"))


def suggestion(analysis: Analysis, rule: str) -> Suggestion:
    return next(each for each in analysis.suggestions or () if each.rule == rule)


def test_attention_frees_its_scores_before_and_after_softmax(tmp_path):
    analysis = analyzed(attention(), tmp_path)
    assert analysis.memory is not None and analysis.memory.peak_bytes == (100 + 64) * MIB
    assert suggestion(analysis, "unfused_attention").peak_bytes_saved == 64 * MIB


def test_what_no_free_proves_is_not_told(tmp_path):
    """All is kept to the end of the step: who reads what is a guess then, and the tier says so."""
    analysis = analyzed(attention(until_the_end=True), tmp_path)
    assert analysis.memory is not None and analysis.memory.peak_bytes == (100 + 64 + 4) * MIB + 512
    guessed = suggestion(analysis, "unfused_attention")
    assert (guessed.tier, guessed.peak_bytes_saved) == ("T3", None)


def chain() -> Calls:
    """exp → mul → neg, each result of 64 MiB freed by the next one."""
    t = Calls()
    t.annotation("ProfilerStep#5", 0, 9000)
    t.call("aten::exp", 100, PLANE, result=(0x1000, 64 * MIB))
    second = t.call("aten::mul", 100, PLANE, ([], "Scalar"), result=(0x2000, 64 * MIB))
    t.free(second + 50, 0x1000, 64 * MIB)
    third = t.call("aten::neg", 100, PLANE, result=(0x3000, 64 * MIB))
    t.free(third + 50, 0x2000, 64 * MIB)
    t.call("aten::mm", 100, PLANE, PLANE, result=(0x4000, 64 * MIB))
    t.free(t.begun + 50, 0x3000, 64 * MIB)
    t.call("aten::mm", 100, PLANE, PLANE, result=(0x5000, 64 * MIB))
    return t


def test_a_chain_frees_what_its_members_hand_on(tmp_path):
    """The peak is when `mul` makes its result beside that of `exp`, which it reads; `neg` reads the other."""
    analysis = analyzed(chain(), tmp_path)
    assert analysis.memory is not None and analysis.memory.peak_bytes == (100 + 128) * MIB
    at_ns = analysis.memory.peak_at_ns
    freed = suggestion(analysis, "pointwise_chain").peak_bytes_saved
    assert at_ns == 305_000 and freed == 128 * MIB


def test_without_memory_rows_nothing_is_told(tmp_path):
    t = chain()
    with_rows = suggestion(analyzed(t, tmp_path), "pointwise_chain")
    assert with_rows.peak_bytes_saved is not None
    for event in t.events:
        event["args"].pop("Addr", None)
    told = [each.peak_bytes_saved for each in analyzed(t, tmp_path).suggestions or ()]
    assert set(told) <= {None}


def test_the_page_and_the_comment_say_what_is_freed(tmp_path):
    analysis = analyzed(attention(), tmp_path)
    for name in ("html", "md"):
        assert "frees 67.1 MB at the peak" in render(analysis, name)


def test_memory_that_cannot_be_followed_costs_that_figure_alone(tmp_path, monkeypatch):
    from traceanalyzer.fusion import suggestions

    def broken(graph: object) -> None:
        raise ValueError("rows of another world")

    monkeypatch.setattr(suggestions, "held_at_peak", broken)
    analysis = analyzed(attention(), tmp_path)
    assert suggestion(analysis, "unfused_attention").peak_bytes_saved is None
    (notice,) = [each for each in analysis.source.warnings if each.code == "memory_failed"]
    assert "rows of another world" in notice.message


def test_modules_of_a_stack_hold_memory_too(tmp_path):
    t = attention()
    t.python("nn.Module: Attention_0", 90, 1350)
    t.python("nn.Module: Softmax_0", 500, 200)
    analysis = analyzed(t, tmp_path)
    assert analysis.memory is not None
    held = {(holder.module, holder.bytes) for holder in analysis.memory.holders}
    assert held == {(None, 100 * MIB), ("Attention", 32 * MIB), ("Attention.Softmax", 32 * MIB)}


def check_freed(analysis: Analysis) -> int:
    """All together no more than what the step itself allocated and has in use at its peak."""
    saved = [each.peak_bytes_saved for each in analysis.suggestions or ()]
    total = sum(filter(None, saved))
    if analysis.memory is None:
        return total
    held = sum(h.bytes for h in analysis.memory.holders if h.kind != "before_recording")
    assert 0 <= total <= held
    return total


@pytest.mark.slow
def test_no_real_trace_frees_more_than_is_held(real_traces: Path) -> None:
    assert sum(check_freed(real.analyzed(file)) for file in real.files(real_traces)) > 10**9


@pytest.mark.slow
def test_the_peak_falls_by_that_where_the_suggestion_is_followed(tmp_path: Path) -> None:
    """Measured: the allocator's rows of the same model with attention written out, and with PyTorch's own.

    Scores of 2 x 4 x 1024 x 1024 floats: of the first two layers their softmax, of the last one all that its
    backward pass has at once. Another moment is the highest without them, so the peak falls by a little less.
    """
    script = str(Path(__file__).with_name("attention.py"))
    peaks = []
    for words in ((script,), (script, "fused")):
        trace = tmp_path / f"{len(words)}.json.gz"
        run = profiled(tmp_path, *words, options=["--no-report", "-o", str(trace)])
        assert run.code == 0, run.stderr
        peaks.append(traceanalyzer.analyze(trace))
    written_out, fused = peaks
    assert written_out.memory is not None and fused.memory is not None
    saved = suggestion(written_out, "unfused_attention").peak_bytes_saved
    fell = written_out.memory.peak_bytes - fused.memory.peak_bytes
    assert saved is not None and saved % (2 * 4 * 1024 * 1024 * 4) == 0
    assert 0.8 * saved <= fell <= saved
