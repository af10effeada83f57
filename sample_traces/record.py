"""Records the sample traces on this machine's CPU: `python sample_traces/record.py [NAME ...]`.

Each is what `traceanalyze profile` captures of an example: three steps, the machine's measured roofs,
modules, the evidence step. Host names and paths are taken out, the gzip header holds no time. On
a machine that does anything else meanwhile the figures are worthless.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
LIMIT_BYTES = 300_000
PRIVATE = ("kernel_file", "kernel_kwargs")  # arguments of compiled code's events that hold paths
# The allocator keeps freed memory, as a GPU's caching allocator does; else the kernel hands out zeroed pages
# for every large tensor, and element-wise operators take five times as long (mallopt(3)).
KEEP_FREED_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "-1"}
# The profiler's small records, put into the gaps that freed tensors leave, can keep the next tensors out of
# them, which then take fresh pages: steps of twice the time. Such a capture is thrown away.
TRIES, MOST = 10, 1.15

SAMPLES = {  # activations too large for a CPU's caches, as those of real models are for a GPU's
    "gpt_eager_cpu": ("examples/gpt.py", "--batch", "16", "--length", "512"),
    "convnet_eager_cpu": ("examples/convnet.py", "--batch", "16", "--size", "224"),
    "gpt_compiled_cpu": ("examples/gpt.py", "--batch", "16", "--length", "512", "--compile"),
}


def record(name: str, words: tuple[str, ...], folder: Path) -> None:
    """Capture, clean and compress one sample."""
    trace = folder / f"{name}.trace.json.gz"
    options = ["--no-report", "--no-memory", "--force", "-o", str(trace)]
    command = [sys.executable, "-m", "traceanalyzer", "profile", *options, *words]
    for _ in range(TRIES):
        subprocess.run(command, check=True, cwd=HERE.parent, env=os.environ | KEEP_FREED_MEMORY,
                       stdout=subprocess.DEVNULL)  # fmt: skip
        document = cleaned(json.loads(gzip.decompress(trace.read_bytes())))
        facts = document["traceanalyze"]
        slowest_us = max(e["dur"] for e in document["traceEvents"] if e["name"].startswith("ProfilerStep#"))
        if 1000 * slowest_us < MOST * facts["unprofiled_step_ns"]:
            break
    document["traceanalyze"]["command"] = " ".join(["traceanalyze profile --no-memory", *words])
    target = HERE / f"{name}.json.gz"
    target.write_bytes(gzip.compress(json.dumps(document, separators=(",", ":")).encode(), 9, mtime=0))
    size = target.stat().st_size
    assert size < LIMIT_BYTES, f"{target.name} has {size} bytes"
    print(f"{target.name}: {size} bytes; a step takes {facts['unprofiled_step_ns'] / 1e6:.0f} ms, under the "
          f"profiler {facts['profiled_step_ns'] / 1e6:.0f} ms")  # fmt: skip


def cleaned(document: dict[str, Any]) -> dict[str, Any]:
    """Without the host's name, paths, and the arguments that tell of them."""
    for key in ("host_name", "trace_id", "traceName"):
        document.pop(key, None)
    for event in document["traceEvents"]:
        for key in PRIVATE:
            event.get("args", {}).pop(key, None)
    return document


def main() -> None:
    wanted = sys.argv[1:] or list(SAMPLES)
    with tempfile.TemporaryDirectory() as folder:
        for name in wanted:
            if name == "gpt_compiled_cpu" and not shutil.which("g++"):
                print("no C++ compiler: the compiled trace is left as it was")
            else:
                record(name, SAMPLES[name], Path(folder))


if __name__ == "__main__":
    main()
