"""The callbacks of the first argument, huggingface or lightning, and what the trace then holds."""

import importlib.util
import sys
from pathlib import Path

import traceanalyzer

EXAMPLES = Path(__file__).parents[3] / "examples"


def example(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def with_callback(trainer_class, callback):
    """The example's own trainer, with one callback more."""

    class Trainer(trainer_class):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs | {"callbacks": [*kwargs.get("callbacks", []), callback]})

    return Trainer


if sys.argv.pop(1) == "huggingface":
    from traceanalyzer.collect.huggingface import ProfileCallback

    found = example("hf_trainer")
    library = found.hf
else:
    from traceanalyzer.collect.lightning import ProfileCallback

    found = example("lightning_module")
    library = found.pl
callback = ProfileCallback("t.trace.json.gz", roofs=False, active=2)
library.Trainer = with_callback(library.Trainer, callback)
found.main()
analysis = traceanalyzer.analyze(callback.profile.path)
print(analysis.window.steps, analysis.recording.complete)
