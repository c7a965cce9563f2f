"""The front-end role wired to sockets: control socket, memory, rings, the display's end of the GPU socket."""
