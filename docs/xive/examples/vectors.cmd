outboard xive vectors tests/vectors/xive/multi_cpu.json.gz tests/vectors/xive/qemu_aborts.json.gz
