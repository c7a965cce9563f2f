outboard xive shell --cpus 2 --script docs/xive/examples/hcalls.xive
