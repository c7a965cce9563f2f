outboard xive shell --script docs/xive/examples/lsi.xive
