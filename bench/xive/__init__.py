"""Benchmarks of the interrupt controller: `python -m bench.xive`."""
