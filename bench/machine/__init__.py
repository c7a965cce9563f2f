"""Benchmarks of the pseries machine beside the real QEMU's: `python -m bench.machine --help`."""
