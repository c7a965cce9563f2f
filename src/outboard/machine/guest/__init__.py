"""An operating system's drivers, and a guest program, in Python: on the `Cpu` protocol, for any machine that has it."""
