"""The only system calls: sockets, fds, eventfds, mappings, the event loop, files."""
