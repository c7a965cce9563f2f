"""What `outboard blk serve` does: disks dealt out to threads, served until a signal or the last front-end ends it."""

import argparse
import contextlib
import json
import signal
import sys
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from outboard import trace
from outboard.aio.context import AioContext
from outboard.aio.iothread import IOThread, main_context
from outboard.backend.disk.service import DiskService
from outboard.backend.disk.service import serve as serve_disk
from outboard.cli.blk import Pair
from outboard.cli.log import Log
from outboard.cli.pictures import Pictures
from outboard.host.signals import Signals


class Lines:
    """A trace hook that prints every event as a JSON object."""

    def __call__(self, event: str, fields: dict[str, Any]) -> None:
        """Print one event."""
        print(json.dumps({"event": event, "time": time.time(), **fields}, default=repr), flush=True)


def run(options: argparse.Namespace, pairs: Sequence[Pair], threads: Sequence[str]) -> int:
    """Serve until told to end; return the exit code."""
    trace.listen(Lines() if options.json else Log(verbose=options.verbose))
    main = main_context()
    pictures = Pictures(options.graph, options.timeline)
    with contextlib.ExitStack() as stack:
        contexts = [stack.enter_context(IOThread(name)).context for name in threads] or [main]
        services: list[DiskService] = []
        for at, pair in enumerate(pairs):
            service = _serve(options, pair, contexts[at % len(contexts)])
            stack.callback(service.close)
            services.append(service)
            service.on_ended = main.notify
        named = [(pair.image, service.backend) for pair, service in zip(pairs, services, strict=True)]
        draw = stack.enter_context(pictures.of(named, [main, *contexts]))
        signals = stack.enter_context(Signals(main))
        came: set[int] = set()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
            signals.call(number, partial(came.add, number))
        for pair in pairs:
            where = pair.socket or f"fd {options.fd}"
            print(f"outboard: serving {pair.image} on {where}", file=sys.stderr, flush=True)
        while not (came or all(service.ended for service in services)):
            main.poll(True)
            if signal.SIGUSR1 in came:
                came.remove(signal.SIGUSR1)
                draw()
    return 0


def _serve(options: argparse.Namespace, pair: Pair, ctx: AioContext) -> DiskService:
    return serve_disk(
        pair.socket or None,
        fd=options.fd,
        image=pair.image,
        iothread=ctx,
        once=options.once,
        serial=options.serial,
        read_only=options.read_only,
        writeback=options.cache == "writeback",
        num_queues=options.num_queues,
        queue_size=options.queue_size,
        logical_block_size=options.logical_block_size,
    )
