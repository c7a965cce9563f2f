"""A device served over sockets: session, memory, queues, device and event loop wired together."""
