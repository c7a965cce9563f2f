"""Benchmarks of the GPU back-end beside QEMU's C helper: `python -m bench --help`."""
