"""All checks of back-ends, and how they are run."""

import argparse

from outboard.conformance.backend import (
    commands,
    config,
    cursor,
    dmabuf,
    errors,
    features,
    gpu_life,
    gpu_questions,
    gpu_socket,
    life,
    memory,
    messages,
    misread,
    notifications,
    queues,
    scanouts,
    transfers,
    updates,
    vrings,
)
from outboard.conformance.backend.bench import opened
from outboard.conformance.backend.peer import Peers
from outboard.conformance.check import Checks
from outboard.conformance.conduct import conduct, show
from outboard.conformance.known import BACK_ENDS

CHECKS = Checks(
    features.checks,
    messages.checks,
    config.checks,
    memory.checks,
    vrings.checks,
    gpu_socket.checks,
    gpu_questions.checks,
    gpu_life.checks,
    dmabuf.checks,
    scanouts.checks,
    updates.checks,
    cursor.checks,
    commands.checks,
    errors.checks,
    transfers.checks,
    queues.checks,
    notifications.checks,
    life.checks,
    misread.checks,
)


def run(options: argparse.Namespace) -> int:
    """Check a back-end as the command line says; return the exit code. Raises PeerUnusable."""
    if options.list:
        return show(CHECKS, options)
    peers = Peers(options.peer, options.connect, options.reuse, options.one_at_a_time)
    name = options.connect or " ".join(options.peer)
    try:
        return conduct(CHECKS, options, name, lambda: opened(peers, options.timeout), BACK_ENDS, peers.worn)
    finally:
        peers.close()
