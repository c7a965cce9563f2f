"""All checks of back-ends, and how they are run."""

import argparse

from outboard.conformance import (
    backend_commands,
    backend_config,
    backend_cursor,
    backend_dmabuf,
    backend_errors,
    backend_features,
    backend_gpu_life,
    backend_gpu_questions,
    backend_gpu_socket,
    backend_life,
    backend_memory,
    backend_messages,
    backend_queues,
    backend_scanouts,
    backend_transfers,
    backend_updates,
    backend_vrings,
    more_checks,
)
from outboard.conformance.bench import opened
from outboard.conformance.check import Checks
from outboard.conformance.conduct import conduct, show
from outboard.conformance.known import BACK_ENDS
from outboard.conformance.peer import Peers

CHECKS = Checks(
    backend_features.checks,
    backend_messages.checks,
    backend_config.checks,
    backend_memory.checks,
    backend_vrings.checks,
    backend_gpu_socket.checks,
    backend_gpu_questions.checks,
    backend_gpu_life.checks,
    backend_dmabuf.checks,
    backend_scanouts.checks,
    backend_updates.checks,
    backend_cursor.checks,
    backend_commands.checks,
    backend_errors.checks,
    backend_transfers.checks,
    backend_queues.checks,
    backend_life.checks,
    more_checks.checks,
)


def run(options: argparse.Namespace) -> int:
    """Check a back-end as the command line says; return the exit code. Raises PeerUnusable."""
    if options.list:
        return show(CHECKS, options)
    peers = Peers(options.peer, options.connect, options.reuse)
    name = options.connect or " ".join(options.peer)
    try:
        return conduct(CHECKS, options, name, lambda: opened(peers, options.timeout), BACK_ENDS, peers.worn)
    finally:
        peers.close()
