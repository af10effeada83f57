"""What the words of a report mean: `traceanalyze explain` says it of each, and a report of some."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec

from traceanalyzer.records import Bound, Limiter, OperatorClass, Phase
from traceanalyzer.records.memory_use import HeldKind
from traceanalyzer.report.heading_texts import (
    COLUMN_MEANING,
    FIGURE_MEANING,
    HEADROOM_MEANING,
    LABEL_MEANING,
    SECTION_MEANING,
    THRESHOLD_MEANING,
)
from traceanalyzer.report.labels import (
    CAUSE_LABELS,
    CAUSE_MEANING,
    CLASS_LABELS,
    FLAG_MEANING,
    HOW,
    PATH_PART_LABELS,
    PATH_PART_MEANING,
    REASON_MEANING,
    REASON_REMEDY,
    TIER_MEANING,
    VERDICT_LABELS,
    VERDICT_MEANING,
)

BOUND_MEANING: Final[Mapping[Bound, str]] = {
    "compute": "intensity at or above the ridge: at the roofs, arithmetic takes longer than memory traffic; "
    "on a CPU functions and random numbers count with it, which are no FLOPs",
    "memory": "intensity below the ridge, or no FLOPs: at the roofs, memory traffic takes longer",
}

LIMITER_MEANING: Final[Mapping[Limiter, str]] = {
    "memory": "its traffic reaches 60 % of the bandwidth or more: only fewer bytes make it faster",
    "compute": "it reaches 60 % of its peak or more: only fewer FLOPs, or another precision, make it faster",
    "neither": "it stays below 60 % of both roofs: a better kernel, layout or alignment could make it faster",
}

CLASS_MEANING: Final[Mapping[OperatorClass, str]] = {
    "tensor_contraction": "matmuls, convolutions and attention, whatever bounds them",
    "statistical_normalization": "softmax, normalizations and other reductions",
    "element_wise": "operators that compute each element by itself: activations, additions, dropout, masks",
    "communication": "collectives of any library",
    "copy": "memcpy and memset of the device",
    "other": "what is none of these, or does not say what it is",
}

PHASE_MEANING: Final[Mapping[Phase, str]] = {
    "forward": "outside of the backward pass and the optimizer",
    "backward": "run by autograd",
    "optimizer": "under the optimizer's annotation, in no forward or backward operator",
    "recompute": "forward operators that run again under the backward pass: activation checkpointing",
}

HELD_MEANING: Final[Mapping[HeldKind, str]] = {
    "activations": "allocated in the forward pass and in use when the backward pass begins",
    "gradients": "allocated in the backward pass and in use when it ends",
    "optimizer_state": "allocated by the optimizer and in use when the step ends",
    "temporary": "freed before that",
    "before_recording": "there before the recording began: parameters, and states that exist already",
}

TERM_MEANING: Final[Mapping[str, str]] = {
    "busy": "time in which the device runs anything: kernels, communication or copies",
    "idle": "time of the window in which the device runs nothing; each part of it has a cause",
    "window": "what is analyzed: from the first selected step to the end of the last, as the device saw them",
    "trace": "what the profiler wrote: operators, launches and kernels, each with its time",
    "critical path": "the longest chain of work that the step had to wait for",
    "step": "one iteration, as an annotation such as ProfilerStep#N says; the window is cut into them",
    "intensity": "FLOPs / bytes of a row",
    "ridge": "peak / bandwidth of the device: the intensity at which both roofs take equally long",
    "roof time": "the larger of FLOPs / peak and bytes / bandwidth: no kernel is faster",
    "efficiency": "roof time / measured time",
    "at roof": "time of rows that reach 60 % of a roof or more, by their traffic or their FLOPs",
    "launch floor": "the time that the smallest kernels take, whatever they do",
    "headroom": "how short the step could become: with the changes, and with all rows at their roofs",
    "coverage": "the share of kernel time whose FLOPs, bytes and roofs are known",
    "proved": "the recording shows what is needed for the saving: it is not zero",
    "at most": "an upper limit: the saving may be zero",
    "likely": "the middle of a band of savings",
    "evidence": "what in the recording shows a suggestion to be right; its tier says how surely",
    "of roof": "efficiency: roof time / measured time",
    "of host": "share of the host's time in operators, where the device's own time is not in the trace",
    "of busy": "share of the time in which the device runs anything",
    "of window": "share of the analyzed time, idle included",
    "at the roof": "time of rows that reach 60 % of a roof or more, by their traffic or their FLOPs",
    "hidden": "communication while the device computes: it costs no time of the step",
    "exposed": "communication while the device computes nothing: the step waits for it",
    "wait": "idle time of one cause, by the function that the host was in for most of it",
    "waited for": "time for which other ranks waited in a collective that this one entered last",
    "kernel": "one piece of work of a GPU, as recorded; on a CPU the time of an operator stands for it",
    "launch": "the call by which the host hands a kernel to the device, which runs it later",
    "operator": "a function of PyTorch that works on tensors, such as aten::mm, as the profiler records it",
    "row": "one line of the table of operators: all calls of one operator with the same inputs",
    "contraction": "a matmul, a convolution or attention: sums of products, the class tensor_contraction",
    "normalization": "softmax, batch norm, layer norm and other reductions: statistical_normalization",
    "its own": "of a module: time of work launched in it and in no module inside it",
    "kind": "of steps: those that run the same operators in about the same time, named by a letter",
    "match": "one place where a rule fits; a suggestion counts its matches",
    "chain": "operators one behind the other, each of which reads what the one before wrote",
    "scope": "what is open round an operator: an annotation, a module or an operator that calls it",
    "annotation": "a named stretch of the recording, as torch.profiler.record_function writes it",
    "stack": "the Python functions that were open: recorded by with_stack=True, or `profile --stack`",
    "compulsory traffic": "each distinct tensor read once, each result written once: no kernel moves less",
    "traffic": "bytes that a kernel is known to move: compulsory, or more where further passes are proved",
    "attributed": "of a row: its part of busy time, where kernels that run at once share it",
    "priced": "FLOPs and bytes are known, from a formula and the sizes of the inputs",
    "memory roof": "the bandwidth of the device's memory: what moves its bytes at that rate runs at it",
    "compulsory": "what cannot be avoided: see compulsory traffic",
    "stream": "a queue of the device; work of several streams may overlap",
    "checkpointing": "activations are not kept for the backward pass and are computed again in it",
    "bandwidth": "bytes per second that the device's memory is taken to move",
    "own": "of a module: time of work launched in it and in no module inside it",
    "rule": "what looks for one kind of change; `traceanalyze explain RULE` says what it sees and leaves out",
    "suggestion": "one change that a rule advises: what to do, where, and what it saves",
    "idle time": "time of the window in which the device runs nothing; each part of it has a cause",
    "busy time": "time in which the device runs anything: kernels, communication or copies",
    "MFU": "model FLOPs utilization: FLOPs of contractions, none computed again, of the dense peak",
}

# Group, meanings, and how a page spells the words.
_LABELED: Final[tuple[tuple[str, Mapping[Any, str], Mapping[Any, str]], ...]] = (
    ("verdict", VERDICT_MEANING, VERDICT_LABELS),
    ("operator class", CLASS_MEANING, CLASS_LABELS),
    ("cause of idle time", CAUSE_MEANING, CAUSE_LABELS),
    ("part of the critical path", PATH_PART_MEANING, PATH_PART_LABELS),
)
_PLAIN: Final[tuple[tuple[str, Mapping[Any, str]], ...]] = (
    ("bound", BOUND_MEANING),
    ("limiter", LIMITER_MEANING),
    ("flag", FLAG_MEANING),
    ("tier of evidence", TIER_MEANING),
    ("phase", PHASE_MEANING),
    ("memory at the peak", HELD_MEANING),
    ("origin of the roofs", HOW),
    ("term", TERM_MEANING),
    ("section of a report", SECTION_MEANING),
    ("bar of the headroom", HEADROOM_MEANING),
    ("line of the summary", LABEL_MEANING),
    ("column of a report", COLUMN_MEANING),
    ("figure of a report", FIGURE_MEANING),
    ("threshold", THRESHOLD_MEANING),
)


class Meaning(msgspec.Struct, frozen=True):
    """One meaning of a word."""

    group: str  # "verdict", "reason"
    text: str
    remedy: str = ""  # what a user can do about it


@lru_cache(maxsize=1)
def word_texts() -> Mapping[str, tuple[Meaning, ...]]:
    """Word -> its meanings, as the JSON spells it and as a page shows it."""
    texts: dict[str, tuple[Meaning, ...]] = {}
    for word, meaning in _meanings():
        texts[word] = (*texts.get(word, ()), meaning)
    return texts


def meanings_of(name: str) -> tuple[Meaning, ...]:
    """Of a word as a report spells it; capitals, underscores for blanks, one or several: no difference."""
    word, spelled = _plain(name), _spelled_alike()
    forms = (word, word.removesuffix("s"), f"{word}s")
    return next((spelled[form] for form in forms if form in spelled), ())


@lru_cache(maxsize=1)
def _spelled_alike() -> Mapping[str, tuple[Meaning, ...]]:
    texts: dict[str, tuple[Meaning, ...]] = {}
    for word, meanings in word_texts().items():
        others = [each for each in meanings if each not in texts.get(_plain(word), ())]
        texts[_plain(word)] = (*texts.get(_plain(word), ()), *others)
    return texts


def _plain(word: str) -> str:
    return " ".join(word.casefold().replace("_", " ").split())


def _meanings() -> Iterator[tuple[str, Meaning]]:
    for group, meaning_of, label_of in _LABELED:
        for word, text in meaning_of.items():
            yield from ((name, Meaning(group, text)) for name in dict.fromkeys((word, label_of[word])))
    for reason, text in REASON_MEANING.items():
        yield reason, Meaning("reason why a row is not modelled", text, REASON_REMEDY.get(reason, ""))
    for group, meaning_of in _PLAIN:
        yield from ((word, Meaning(group, text)) for word, text in meaning_of.items())
