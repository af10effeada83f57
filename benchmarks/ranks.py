"""What several files cost with one worker and with more, and how memory grows with their number.

`python benchmarks/ranks.py [--size 20MB] [--jobs 1,2] [--files 8] [--memory-files 64] [--cluster-files 64]
[SOURCE]` tiles a source (by default a sample trace) and makes the rank of each copy its own. Wall seconds are
the best of several runs; they say something only on a machine with as many idle cores as jobs. Memory is the
most that any one process held: the one that was started, or a worker. The cluster is a `LocalCluster` of
processes with a thread each, which have read one file before.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from run import SAMPLE, TRACEANALYZE, Run, machine, run
from tile import tile

import traceanalyzer
from traceanalyzer.records.units import parse_quantity

_TIMES = 3


def report(folder: Path, jobs: int) -> Run:
    """With its workers."""
    out = str(folder.parent / "report.json")
    return run(*TRACEANALYZE, "report", "-q", str(folder), "-o", out, "--force", "--jobs", str(jobs))


def rank(tiled: Path, target: Path, number: int, world: int) -> None:
    """The tiled trace with a rank of its own."""
    told = b'{\n"distributedInfo": {"backend": "nccl", "rank": %d, "world_size": %d},' % (number, world)
    with tiled.open("rb") as source, target.open("wb") as out:
        assert source.readline() == b"{\n"
        out.write(told + b"\n")
        while block := source.read(1 << 20):
            out.write(block)


def ranks(tiled: Path, folder: Path, count: int) -> Path:
    """A folder of so many."""
    folder.mkdir(exist_ok=True)
    for number in range(count):
        target = folder / f"rank{number:03}.trace.json"
        if not target.exists():
            rank(tiled, target, number, count)
    return folder


def job_on_cluster(folder: Path, workers: int) -> tuple[float, float]:
    """Wall seconds of a job on so many workers, whose modules are loaded, and their processor seconds."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        client.wait_for_workers(workers)
        paths = sorted(folder.iterdir())
        traceanalyzer.analyze([str(path) for path in paths[: 2 * workers]], client=client)
        begun, used = time.perf_counter(), sum(client.run(time.process_time).values())
        traceanalyzer.analyze(str(folder), client=client)
        wall = time.perf_counter() - begun
        return wall, sum(client.run(time.process_time).values()) - used


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("source", nargs="?", type=Path, default=SAMPLE)
    options.add_argument("--size", default="20MB")
    options.add_argument("--jobs", default="1,2")
    options.add_argument("--files", type=int, default=8)
    options.add_argument("--memory-files", type=int, default=64)
    options.add_argument("--cluster-files", type=int, default=64)
    chosen = options.parse_args()
    jobs = [int(each) for each in chosen.jobs.split(",")]
    print(f"On {machine()}, load {os.getloadavg()[0]:.1f}, {time.strftime('%Y-%m-%d')}.\n")
    print("| files | jobs | wall | against the first | processor | peak memory of a process |")
    print("|---:|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as name:
        tiled = Path(name, "tiled.json")
        tile(str(chosen.source), tiled, parse_quantity(chosen.size))
        for count, each_jobs, times in ((chosen.files, jobs, _TIMES), (chosen.memory_files, jobs[-1:], 1)):
            folder = ranks(tiled, Path(name, "job"), count)
            runs = {n: min((report(folder, n) for _ in range(times)), key=lambda run: run.wall_s)
                    for n in each_jobs}  # fmt: skip
            for n, each in runs.items():
                ratio = runs[each_jobs[0]].wall_s / each.wall_s
                print(f"| {count} | {n} | {each.wall_s:.2f} s | {ratio:.2f} | {each.processor_s:.2f} s "
                      f"| {each.peak_bytes / 2**20:,.0f} MiB |", flush=True)  # fmt: skip
        if chosen.cluster_files:
            on_clusters(ranks(tiled, Path(name, "cluster"), chosen.cluster_files), jobs)


def on_clusters(folder: Path, workers: list[int]) -> None:
    print("\n| files | workers of a cluster | wall | against the first | processor |")
    print("|---:|---:|---:|---:|---:|", flush=True)
    count, first_s = len(list(folder.iterdir())), 0.0
    for n in workers:
        wall, processor = min(job_on_cluster(folder, n) for _ in range(2))
        first_s = first_s or wall
        print(f"| {count} | {n} | {wall:.2f} s | {first_s / wall:.2f} | {processor:.2f} s |", flush=True)


if __name__ == "__main__":
    main()
