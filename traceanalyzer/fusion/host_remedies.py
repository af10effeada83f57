"""What to do about work on the host, by the words of its name; nothing where they do not say it.

A name is an annotation's, an operator's, or a Python function's behind its file and line. Only whole words
of the function's own name count, so that `torch_geometric` is no metric and `validate_shapes` no evaluation.
What no words fit is named, without advice.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

LAUNCHED_SHARE = 0.1  # of the kernels: what launches more is the step's own work
_EVALUATED_SHARE = 0.5  # likewise of an evaluation, which launches kernels of its own
_FRAME = re.compile(r"(?P<file>.+\.pyx?)\(\d+\): (?P<function>.+)")
_OPERATOR = re.compile(r"\w+::\w")
# Operators that work on no values: what they take long for is not where their tensors are.
_WITHOUT_VALUES = re.compile(r"aten::(?:_?empty|new_empty|resize_|set_|detach|alias|view|expand|as_strided)")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_COLLECTION = re.compile(r"<built-in (?:function|method) collect\b.*>|gc\.collect")
_LOCK = re.compile(r"<built-in method acquire of _thread\.\w*lock\b.*>")
_WAITS = {"threading.py": {"wait", "join", "acquire"}, "queue.py": {"get", "put"}}  # of Python's own modules
_CHECKPOINT = frozenset({"checkpoint", "checkpoints", "checkpointing", "ckpt", "model", "weights", "state"})
_READS = frozenset({"load", "loads", "loading", "loaded", "restore", "resume", "read", "get", "latest"})
_EVALUATION = frozenset({"evaluate", "evaluation", "eval", "validation", "validate"})
# Words beside those; with any other they are about something else, such as the shapes that are validated.
_EVALUATED = frozenset(
    {"run", "do", "on", "in", "and", "one", "model", "step", "loop", "epoch", "set", "batch"}
)
_WRITES = re.compile(r"<(?:built-in (?:function|method)|method) '?(?:write|dump|fsync|flush|save)\b")
_WRITERS = frozenset({"serialization.py", "pickle.py", "zipfile.py", "filesystem.py"})
_LOG = frozenset({"log", "logs", "logging", "logger"})
_LOGGED = frozenset({
    "metric", "metrics", "loss", "losses", "step", "stats", "scalar", "scalars", "train", "training",
    "progress", "results", "images", "image", "gradients", "grads", "epoch", "batch", "on", "to",
    "maybe", "wandb", "tb", "tensorboard", "mlflow", "and", "end", "all", "event", "events", "values", "info",
})  # fmt: skip
_TRAINING_CALLBACK = re.compile(r"on_(?:train(?:ing)?_)?(?:sub)?(?:step|batch|epoch)_(?:begin|start|end)")
_OF_THE_ENGINE = frozenset({"grad", "gradient", "autograd", "backward", "future", "queue", "engine"})
_NO_WORK_SCHEDULE = frozenset({"lr", "rate", "learning", "noise", "beta", "betas", "sigmas", "timesteps"})


class Remedy(msgspec.Struct, frozen=True):
    """What to do about work of such a name."""

    fits: Callable[[Name], bool]
    action: str  # {name}: what it is called
    snippet: str = ""
    launched_share: float = LAUNCHED_SHARE  # of the kernels at most, for it to be what the host did instead
    of_lock: bool = False


class Name(msgspec.Struct, frozen=True):
    """The parts of a name."""

    text: str
    file: str  # of a Python function, without its folders
    function: str  # its name; that of anything else as a whole
    words: tuple[str, ...]  # of the function, in lower case

    @classmethod
    def of(cls, text: str) -> Name:
        """An operator, a row of autograd and a built-in function have no words: they are known as a whole."""
        frame = _FRAME.fullmatch(text)
        file = re.split(r"[/\\]", frame["file"])[-1] if frame else ""
        function = frame["function"] if frame else text
        plain = function and function[0] != "<" and not _OPERATOR.match(function)
        return cls(text, file, function, tuple(map(str.lower, _WORD.findall(function))) if plain else ())

    def has(self, *words: str) -> bool:
        """Whether one of these is a word of it."""
        return not set(words).isdisjoint(self.words)


def remedy_of(text: str) -> Remedy | None:
    """What the words of the name ask for; None where they do not say."""
    name = Name.of(text)
    return next((remedy for remedy in _REMEDIES if remedy.fits(name)), None)


def without_words(text: str) -> Remedy:
    """Of a name that no words say anything of, what holds of its kind."""
    name = Name.of(text)
    return next(remedy for remedy in (_OF_AN_OPERATOR, _OF_AUTOGRAD, _NO_ADVICE) if remedy.fits(name))


def writes_a_file(text: str) -> bool:
    """Whether that is what a checkpoint is written by, by its name."""
    name = Name.of(text)
    writes = name.has("checkpoint", "ckpt", "write", "dump", "fsync", "flush") or name.file in _WRITERS
    return writes or _saves(name) or bool(_WRITES.match(text))


def _runs_the_optimizer(name: Name) -> bool:
    on_cpu = name.has("cpu") and name.has("adam", "adamw", "adagrad", "lion", "optimizer", "optim")
    return on_cpu and not name.has("load", "init")


def _steps_the_optimizer(name: Name) -> bool:
    return name.has("optimizer", "optim") and name.has("step") and not name.has("zero", "scheduler", "lr")


def _collects(name: Name) -> bool:
    return bool(_COLLECTION.fullmatch(name.text)) or name.has("gc") or name.has("garbage")


def _waits_for_a_thread(name: Name) -> bool:
    if _LOCK.fullmatch(name.text) or name.function in _WAITS.get(name.file, ()):
        return True
    return name.has("lock") and name.has("acquire", "wait")


def _saves(name: Name) -> bool:
    if name.has(*_READS, "backward", "tensor", "tensors", "hooks", "ctx"):
        return False
    return (
        name.has("save", "saves", "saving", "checkpointing")
        or not name.file
        and name.words in (("checkpoint",), ("ckpt",))
    )


def _saves_a_model(name: Name) -> bool:
    return _saves(name) and (name.has(*_CHECKPOINT) or name.file == "serialization.py")


def _evaluates(name: Name) -> bool:
    words = set(name.words)
    if not words & _EVALUATION or words - _EVALUATION - _EVALUATED:
        return False
    alone = words == {"eval"} or "validate" in words  # `model.eval()`, `model_validate` of pydantic
    return not alone or not words.isdisjoint(("loop", "epoch", "step", "run"))


def _schedules(name: Name) -> bool:
    return name.words[:1] in (("schedule",), ("reschedule",)) and not name.has(*_NO_WORK_SCHEDULE)


def _logs(name: Name) -> bool:
    words = set(name.words)
    if name.text == "<built-in function print>" or words & _LOG and not words - _LOG - _LOGGED:
        return True
    if name.file:
        return bool(_TRAINING_CALLBACK.fullmatch(name.function))
    return name.has("callback", "callbacks") and not name.has(*_OF_THE_ENGINE)


def _is_operator(name: Name) -> bool:
    return name.text.startswith("aten::") and not _WITHOUT_VALUES.match(name.text)


def _is_of_autograd(name: Name) -> bool:
    return name.text.startswith("autograd::engine::")


_TO_THE_DEVICE = (
    "Run the optimizer on the device, or its step on the host beside the next forward pass: {name} works "
    "on the host and launches nothing meanwhile.",
    "optimizer = torch.optim.AdamW(model.parameters(), fused=True)  # parameters on the device",
)
_SAVING = "Save while training goes on, or less often: {name} keeps the host from launching."
_REMEDIES = (
    Remedy(_runs_the_optimizer, *_TO_THE_DEVICE),
    Remedy(_steps_the_optimizer, *_TO_THE_DEVICE, launched_share=0.0),
    Remedy(
        _collects,
        "Keep garbage collection out of the steps: freeze what stays, and collect every so many steps.",
        "gc.collect(); gc.freeze(); gc.disable()  # and gc.collect() every 1000 steps",
    ),
    Remedy(
        _waits_for_a_thread,
        "Do not let the thread that launches wait for another one: shorten what that holds the lock for, or "
        "hand work over through a queue that is filled ahead.",
        of_lock=True,
    ),
    Remedy(_saves_a_model, _SAVING, "torch.distributed.checkpoint.async_save(state, checkpoint_id=path)"),
    Remedy(_saves, _SAVING),
    Remedy(
        _evaluates,
        "Evaluate less often, or in another process: {name} keeps the host from launching.",
        launched_share=_EVALUATED_SHARE,
    ),
    Remedy(
        _schedules,
        "Schedule the next step while the device works on this one: {name} keeps the host from launching.",
    ),
    Remedy(
        _logs,
        "Do it every so many steps, or hand it to another thread: {name} keeps the host from launching.",
    ),
)  # fmt: skip
_OF_AN_OPERATOR = Remedy(
    _is_operator,
    "Keep what {name} works on in the device's memory: it launches nothing, so that its tensors seem to be "
    "the host's.",
)
_OF_AUTOGRAD = Remedy(
    _is_of_autograd,
    "See which hooks of gradients run inside {name}: a recording with with_stack=True names their functions.",
)
_NO_ADVICE = Remedy(
    lambda _: True,
    "See what {name} does on the host, while the device has nothing to do: it has to become shorter, or to "
    "run while the device works.",
)
