outboard xive shell --script docs/xive/examples/help.xive
