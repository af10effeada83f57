"""The roofs of accelerators, and which accelerator a trace was recorded on."""
