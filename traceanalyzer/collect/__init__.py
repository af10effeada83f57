"""Running a training or inference script under torch.profiler, and saving what was seen."""
