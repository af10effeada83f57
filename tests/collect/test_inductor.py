"""Compiled C++ loops are named and priced: their bytes are those counted by hand."""

from __future__ import annotations

import shutil

import pytest

from tests.collect.harness import SCRIPTS, bare, profiled, steps
from traceanalyzer import Analysis, analyze
from traceanalyzer.options import AnalyzeOptions

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not shutil.which("g++"), reason="no C++ compiler")]
ALL, ROW, COLUMN = 512 * 1024 * 4, 1024 * 4, 512 * 4  # bytes of fp32

# Words of the loop's name -> bytes read, bytes written, in a call.
BY_HAND = {
    "gelu": (ALL, ALL),
    "select_sub": (ALL + ROW, ALL),
    "neg_slice": (512 * 256 * 4, 512 * 256 * 4),
    "add_copy_": (2 * ALL, ALL),
    "exp_sum": (ALL, COLUMN),
    "cos_mul_sin": (2 * ALL, 2 * ALL),
    "mul_sigmoid_tanh": (ALL, ALL),
    "arange_embedding_mul": (64 * ROW, 64 * ROW),
    "pow_sum": (ALL, 4),
    "expand_mul_pow": (ALL + 4, ALL),
}


PLAINLY_VISIBLE = """import torch._inductor.config, runpy, sys
torch._inductor.config.cpp.enable_kernel_profile = True
runpy.run_path(sys.argv[1])
"""


@pytest.fixture(scope="module", params=["cold", "warm", "foreign"])
def analysis(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    """Code that is made, code from the cache of such a run, a cache with code of others without buffers."""
    folder = tmp_path_factory.getbasetemp() / "loops"
    folder.mkdir(exist_ok=True)
    cache = {"TORCHINDUCTOR_CACHE_DIR": str(folder / ("foreign" if request.param == "foreign" else "ours"))}
    if request.param == "foreign":
        assert bare(folder, "-c", PLAINLY_VISIBLE, str(SCRIPTS / "loops.py"), **cache).code == 0
    run = profiled(folder, str(SCRIPTS / "loops.py"), options=["--force", "--no-evidence"], **cache)
    assert run.code == 0 and steps(folder / "t.trace.json.gz") == [5, 6, 7], run.stderr
    return analyze(folder / "t.trace.json.gz", options=AnalyzeOptions(bandwidth="10GB/s", peaks=("fp32=1T",)))


def test_bytes_are_those_counted_by_hand(analysis: Analysis) -> None:
    ops = analysis.ops
    loops = ops[ops.name.str.contains("cpp_fused")]
    found = {}
    for row in loops.itertuples():
        words = row.name.partition("_fused_")[2].strip("_").rpartition("_")[0]
        found[words.strip("_")] = (row.read_bytes / row.calls, row.write_bytes / row.calls)
    expected = {name.strip("_"): bytes_ for name, bytes_ in BY_HAND.items()}
    assert found == expected


def test_every_loop_has_a_verdict_and_shows_its_name_alone(analysis: Analysis) -> None:
    ops = analysis.ops
    loops = ops[ops.name.str.contains("cpp_fused")]
    assert "unmodelled" not in set(loops.verdict) and not loops.name.str.contains("->").any()
