"""vhost-user and vhost-user-gpu: framing and sessions of both sockets. No I/O."""
