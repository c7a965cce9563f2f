"""A tap on the sockets between a VMM and its back-end: it passes all on, shows it, writes it to a capture file."""
