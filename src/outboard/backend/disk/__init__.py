"""The composed vhost-user-blk back-end: image, queues and sockets in one context."""
