"""Commands: wiring and words, nothing else."""
