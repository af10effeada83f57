"""Tables of the page about recorded models: verdicts, steps, headroom, places, the published layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from cells import header, one_line

CLASSES_2021 = {"tensor_contraction": 0.61, "statistical_normalization": 0.255, "element_wise": 0.135}
_SOURCE_2021 = "Ivanov et al., Data Movement Is All You Need, MLSys 2021, arXiv 2007.00072"
# A model as it is, and with what the suggestions name; what its headroom promises can be held against that.
PAIRS = (
    ("bert_layer_eager", "bert_layer_compiled"), ("gpt_eager", "gpt_compiled"), ("gpt_eager", "gpt_fused"),
    ("llm_decode", "llm_decode_graphs"), ("resnet", "resnet_channels_last"),
    ("memory_block_eager", "memory_block_compiled"),
)  # fmt: skip

Samples = Mapping[str, Mapping[str, Any]]


def recorded(samples: Samples) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield from ((name, found) for name, found in samples.items() if "failed" not in found)


def percent(share: float | None) -> str:
    return "unknown" if share is None else f"{share:.1%}"


def milliseconds(ns: float | None) -> str:
    return "unknown" if ns is None else f"{ns / 1e6:.3f}"


def samples_table(samples: Samples) -> Iterator[str]:
    yield from header(
        "trace; >memory-bound of busy; >at the roof; >far below it; >outside contractions; "
        ">modelled; >limited by memory, compute, neither; first suggestion"
    )
    for name, found in samples.items():
        if "failed" in found:
            yield f"| {name} | not recorded: {one_line(found['failed'])} | | | | | | |"
            continue
        memory, told = found["memory_bound"], found["suggestions"] or []
        limited, busy = found["limiters"], found["time"]["busy_ns"] or 1
        parts = (percent(limited.get(key, 0) / busy) for key in ("memory", "compute", "neither"))
        yield (
            f"| {name} | {percent(memory['share_of_busy'])} | {percent(memory['at_roof_share_of_busy'])} "
            f"| {percent(memory['below_roof_share_of_busy'])} "
            f"| {percent(memory['non_contraction_share_of_busy'])} "
            f"| {percent(found['coverage']['modelled_share'])} | {', '.join(parts)} "
            f"| {told[0]['rule'] if told else ''} |"
        )


def steps_table(samples: Samples) -> Iterator[str]:
    """Steps as the device saw them beside what a clock says without the profiler."""
    yield from header(
        "trace; >without the profiler, ms; >under it, ms; >annotation, ms; >device, ms; >device / without"
    )
    for name, found in recorded(samples):
        facts, steps = found["recording"] or {}, found["steps"]
        plain = facts.get("unprofiled_step_ns")
        device = median(step["device_ns"] for step in steps) if steps else None
        host = median(step["host_ns"] for step in steps) if steps else None
        ratio = f"{device / plain:.2f}" if device and plain else ""
        yield (
            f"| {name} | {milliseconds(plain)} | {milliseconds(facts.get('profiled_step_ns'))} "
            f"| {milliseconds(host)} | {milliseconds(device)} | {ratio} |"
        )


def headroom_table(samples: Samples) -> Iterator[str]:
    """What a step's headroom says, and the step with the changes made, both without the profiler's time."""
    yield from header(
        "as it is; changed; >step, ms; proved, ms; all suggestions, ms; >at the roofs, ms; "
        "without the profiler: before, after, ms; inside"
    )
    known = dict(recorded(samples))
    for name, changed in PAIRS:
        if name not in known or changed not in known or not known[name]["headroom"]:
            continue
        room = known[name]["headroom"]
        before, after = (
            (known[each]["recording"] or {}).get("unprofiled_step_ns") for each in (name, changed)
        )
        yield (
            f"| {name} | {changed} | {milliseconds(room['now_ns'])} | {_band(room['proved_ns'])} "
            f"| {_band(room['all_ns'])} | {milliseconds(room['at_roofs_ns'])} "
            f"| {milliseconds(before)}, {milliseconds(after)} | {_inside(room, before, after)} |"
        )


def _band(band: Mapping[str, float]) -> str:
    return " / ".join(milliseconds(band[end]) for end in ("low", "mid", "high"))


def _inside(room: Mapping[str, Any], before: float | None, after: float | None) -> str:
    """Whether the step became shorter by a ratio between those promised: the profiler slows both alike."""
    if not before or not after or not room["now_ns"]:
        return ""
    ratio = after / before
    lowest, highest = room["all_ns"]["low"] / room["now_ns"], room["proved_ns"]["high"] / room["now_ns"]
    return "yes" if lowest <= ratio <= highest else f"no: {ratio:.2f} of {lowest:.2f} to {highest:.2f}"


def places_table(samples: Samples) -> Iterator[str]:
    """How much of busy time is given to a module, a function, and a place on the host that waits."""
    yield from header("trace; >in named modules; >in functions; >idle time; largest wait")
    for name, found in recorded(samples):
        busy, window = found["time"]["busy_ns"] or 1, found["window"]["window_ns"] or 1
        parts = (found["in_modules_ns"], found["in_functions_ns"])
        modules, functions = ("not recorded" if ns is None else percent(ns / busy) for ns in parts)
        wait = next(iter(found["waits"]), None)
        largest = f"{wait['cause']}, {wait['function'] or 'no function'}" if wait else ""
        idle = percent(found["time"]["idle_ns"] / window)
        yield f"| {name} | {modules} | {functions} | {idle} | {largest} |"


def paper_table(samples: Samples) -> Iterator[str]:
    yield from header("class; >runtime 2021 (V100); >FLOPs, eager; >runtime, eager; >runtime, compiled")
    parts = {
        name: {part["operator_class"]: part for part in samples.get(name, {}).get("operator_classes") or []}
        for name in ("bert_layer_eager", "bert_layer_compiled")
    }
    for known, share in CLASSES_2021.items():
        eager, compiled = (parts[name].get(known) for name in parts)
        yield (
            f"| {known.replace('_', ' ')} | {share:.1%} | {_share(eager, 'flops_share')} "
            f"| {_share(eager, 'time_share')} | {_share(compiled, 'time_share')} |"
        )
    yield f"\n2021: {_SOURCE_2021}."


def _share(part: Mapping[str, Any] | None, key: str) -> str:
    return f"{part[key]:.2%}" if part and part.get(key) is not None else "not recorded"


def kept_table(samples: Samples) -> Iterator[str]:
    """Copies that are small enough to keep, and how they were made."""
    yield from header("file; >bytes; left out; made by")
    for _, found in recorded(samples):
        if kept := found.get("small_copy"):
            left_out: Sequence[str] = kept["left_out"]
            yield f"| {kept['file']} | {kept['bytes']:,} | {', '.join(left_out)} | `{kept['command']}` |"
