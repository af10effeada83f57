"""Calls of modules: which layer an operator belongs to, and when an outermost forward has returned."""

from __future__ import annotations

import contextlib
import functools
import itertools
import threading
import weakref
from collections.abc import Callable
from types import ModuleType
from typing import Any

from traceanalyzer.records import MODULE_ANNOTATION

_WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
_MAX_ROOTS = 64
_DATA_PARALLEL = ("DistributedDataParallel", "DataParallel")


class ModuleCalls:
    """nn.Module.__call__, wrapped: annotates while `recording`, reports every outermost return."""

    def __init__(
        self, returned: Callable[[object], None], called: Callable[[Any, Any], None] = lambda *_: None
    ) -> None:
        """`called` is given each outermost call's arguments before it, `returned` the module after it."""
        self.recording = False
        self.autocast: str | None = None  # data type seen while recording
        self._returned, self._called = returned, called
        self._original: Any = None
        self._depth = threading.local()
        self._roots: list[weakref.ref[Any]] = []
        self._names: dict[int, tuple[weakref.ref[Any], str]] = {}  # id -> the module, for ids are used again
        self._named: dict[str, weakref.ref[Any]] = {}  # root's name -> the root

    def install(self) -> None:
        """From here on every module call is wrapped, except in compiled code."""
        from torch import nn

        if self._original is None:
            self._original = nn.Module.__call__
            nn.Module.__call__ = self._wrapped(self._original)  # type: ignore[method-assign]

    def uninstall(self) -> None:
        """Record no more calls, and put back what `torch.nn.Module` had."""
        if self._original is not None:
            from torch import nn

            if getattr(nn.Module.__call__, "_traceanalyze", None) is self:  # else somebody wrapped it again
                nn.Module.__call__ = self._original  # type: ignore[method-assign]
        self._original = None
        self.recording = False
        self._names.clear()
        self._named.clear()
        self._roots.clear()

    def start(self) -> None:
        """Annotate; the modules seen so far, the largest first, are named outside of what is measured."""
        alive = [module for root in self._roots if (module := root()) is not None]
        for module in sorted(alive, key=lambda each: -sum(1 for _ in each.modules())):
            if self._name_of(module) is None:  # else it is a part of a larger one
                self._name(module)
        self.recording = True

    def _wrapped(self, original: Callable[..., Any]) -> Callable[..., Any]:
        depth, watcher = self._depth, self

        # The module is called `self` as in the original: the profiler's tracer of Python frames takes the
        # module from that variable (torch/csrc/autograd/profiler_python.cpp).
        @functools.wraps(original)
        def call(self: Any, /, *args: Any, **kwargs: Any) -> Any:
            outermost = not getattr(depth, "inside", False)
            depth.inside = True
            try:
                if outermost:
                    watcher._called(args, kwargs)
                if watcher.recording:
                    result = watcher._annotated(original, outermost, self, args, kwargs)
                else:
                    if outermost:
                        watcher._seen(self)
                    result = original(self, *args, **kwargs)
            finally:
                if outermost:
                    depth.inside = False
            if outermost:
                watcher._returned(self)
            return result

        call._traceanalyze = self  # type: ignore[attr-defined]
        # Dynamo traces the original instead: compiled code is the same before, during and after the capture.
        call._torchdynamo_inline = original  # type: ignore[attr-defined]
        return call

    def _annotated(
        self, original: Callable[..., Any], outermost: bool, module: Any, args: Any, kwargs: Any
    ) -> Any:
        import torch

        name = self._name_of(module)
        if name is None and outermost:
            self._name(module)
            name = self._name_of(module)
        if name is None or torch._C._get_tracing_state() is not None:
            return original(module, *args, **kwargs)
        if self.autocast is None:
            self.autocast = _autocast()
        with torch.autograd.profiler.record_function(MODULE_ANNOTATION + name):
            return original(module, *args, **kwargs)

    def _seen(self, module: Any) -> None:
        if all(root() is not module for root in self._roots):
            if len(self._roots) >= _MAX_ROOTS:
                self._roots = [root for root in self._roots if root() is not None]
            if len(self._roots) < _MAX_ROOTS:
                self._roots.append(weakref.ref(module))

    def _name_of(self, module: Any) -> str | None:
        entry = self._names.get(id(module))
        return entry[1] if entry is not None and entry[0]() is module else None

    def _name(self, root: Any) -> None:
        """As in the first root's state_dict; below others the class stands in front, of equals with a number.

        A module whose submodules cannot be listed has the name of its class.
        """
        inner = vars(root).get("_modules", {}).get("_orig_mod", root)  # of torch.compile(model): the model
        type_name = self._free_name(type(inner).__name__)
        above = [type_name] if self._named else []
        self._named[type_name] = weakref.ref(root)
        self._names[id(root)] = (weakref.ref(root), type_name)
        try:
            parts = [(short_name(root, name), module) for name, module in root.named_modules()]
        except Exception:
            return
        for below, module in parts:
            if below and self._name_of(module) is None:  # what a wrapper holds has the wrapper's name already
                self._names[id(module)] = (weakref.ref(module), ".".join([*above, below]))

    def _free_name(self, type_name: str) -> str:
        """`Net`, and while a first one lives `Net#2`: a module made anew in each step keeps its name."""
        names = (type_name if count == 1 else f"{type_name}#{count}" for count in itertools.count(1))
        return next(name for name in names if name not in self._named or self._named[name]() is None)


def short_name(root: object, name: str) -> str:
    """Without what wrappers add: `module._orig_mod.layers.0` of a DDP module is `layers.0`."""
    parts = name.split(".")
    if type(root).__name__ in _DATA_PARALLEL and parts[0] == "module":
        parts = parts[1:]
    return ".".join(part for part in parts if part not in _WRAPPERS)


def _autocast() -> str | None:
    import torch

    for device in ("cuda", "xpu", "cpu"):
        with contextlib.suppress(TypeError, RuntimeError, AttributeError):  # torch before 2.4, no such device
            if torch.is_autocast_enabled(device):
                return str(torch.get_autocast_dtype(device)).removeprefix("torch.")
    return None


def exclude_from_dynamo(trace_rules: ModuleType) -> None:
    """To be called when torch._dynamo.trace_rules has been imported.

    Code compiled in place meets our frames first; dynamo would compile those, with guards on our state. In a
    step that is followed line by line it meets what is called for each line.
    """
    trace_rules.add("traceanalyzer.collect")
    trace_rules.add("traceanalyzer.records")
