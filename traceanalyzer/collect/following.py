"""A rank that is not captured, under `--stop`: its steps are counted, and it ends when rank 0 does."""

from __future__ import annotations

from types import ModuleType

from traceanalyzer.collect.imports import AfterImport
from traceanalyzer.collect.modules import ModuleCalls, exclude_from_dynamo
from traceanalyzer.collect.optimizers import OptimizerSteps
from traceanalyzer.collect.script import Code, Script, exit_code, perform
from traceanalyzer.collect.step_detector import StepDetector, Tick
from traceanalyzer.collect.stopping import Stopper


class StepCount:
    """Tells a Stopper of each step, found as in the rank that is captured."""

    def __init__(self, stopper: Stopper) -> None:
        self._stopper = stopper
        self._detector = StepDetector()
        self._optimizers = OptimizerSteps(
            self._made, lambda owner: self._ticked(self._detector.optimizer(owner))
        )
        self._modules = ModuleCalls(lambda owner: self._ticked(self._detector.forward(owner)))

    def watch(self, torch: ModuleType) -> None:
        """To be called when torch has been imported."""
        self._optimizers.install()
        self._modules.install()

    def end(self) -> None:
        """Remove the wrappers."""
        self._modules.uninstall()
        self._optimizers.uninstall()

    def _made(self) -> None:
        self._detector.optimizer_exists = True

    def _ticked(self, tick: Tick) -> None:
        if tick is not Tick.NOTHING:
            self._stopper.step(over=False)


def follow(script: Script, stopper: Stopper) -> Code:
    """Run it to its end, or to where rank 0 stops; its exit code."""
    count = StepCount(stopper)
    waiting = AfterImport({"torch": count.watch, "torch._dynamo.trace_rules": exclude_from_dynamo})
    waiting.install()
    try:
        ended = perform(script)
    finally:
        waiting.remove()
        count.end()
    return exit_code(stopper.ended(ended))
