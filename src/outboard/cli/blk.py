"""`outboard blk serve`: disks for VMs."""

import argparse
from typing import Any, NamedTuple

from outboard.errors import LocalError

SERVE_EPILOG = """examples:
  outboard blk serve disk.sock --image disk.img &
  qemu-system-x86_64 -M q35,accel=kvm,memory-backend=mem0 -m 512M \\
    -object memory-backend-memfd,id=mem0,size=512M,share=on \\
    -chardev socket,id=disk,path=disk.sock,reconnect=1 -device vhost-user-blk-pci,chardev=disk ...

  outboard blk serve a.sock=a.img b.sock=b.img --iothread 2      two disks, a thread each

The image is a raw file or a block device of the host. With --iothread N there are N threads, with --iothread NAME
(more than once) threads of these names; the disks are dealt out to them in turn. Without it all run in one.
SIGINT and SIGTERM end the back-end when what is in flight is done. When it is killed and started anew, the front-end's
inflight area says what is left to do. SIGUSR1 writes the files of --graph and --timeline at once; they are
written at the end too. Exit codes: 0 ended as asked, 2 could not start.
"""


class Pair(NamedTuple):
    """One disk to serve."""

    socket: str
    image: str


def disks(options: argparse.Namespace) -> list[Pair]:
    """Read what is to be served: one SOCKET with --image, or SOCKET=FILE. Raises LocalError when it is neither."""
    if options.image is not None or options.fd is not None:
        if options.image is None or len(options.disk) != (options.fd is None):
            raise LocalError("blk serve: give one SOCKET, or --fd N, with --image FILE; or SOCKET=FILE for every disk")
        return [Pair("".join(options.disk), options.image)]
    pairs = [Pair(*text.partition("=")[::2]) for text in options.disk]
    if not pairs or not all(pair.socket and pair.image for pair in pairs):
        raise LocalError("blk serve: give SOCKET and --image FILE, or SOCKET=FILE for every disk; see --help")
    sockets = [pair.socket for pair in pairs]
    if twice := [socket for socket in sockets if sockets.count(socket) > 1]:
        raise LocalError(f"blk serve: {twice[0]} is given twice; every disk has a socket of its own")
    if len(pairs) > 1 and options.serial:
        raise LocalError("blk serve: --serial is for one disk; start one process a disk to give each its own")
    return pairs


def thread_names(wanted: list[str]) -> list[str]:
    """Return the names of the IOThreads: a number makes so many. Raises LocalError for numbers that make no sense."""
    names: list[str] = []
    for text in wanted:
        if text.isdecimal():
            if not 1 <= int(text) <= 64:
                raise LocalError(f"--iothread {text}: 1 to 64 threads")
            names += [f"iothread{len(names) + at}" for at in range(int(text))]
        elif text:
            names.append(text)
        else:
            raise LocalError("--iothread: expected a name or a number of threads, got nothing")
    return names


def add(commands: Any) -> None:
    """Add `blk` to the tree."""
    blk = commands.add_parser("blk", help="be a VM's disk")
    verbs = blk.add_subparsers(title="commands", metavar="COMMAND", required=True)
    parser = verbs.add_parser(
        "serve",
        help="vhost-user-blk back-end for a VMM",
        description="Serve vhost-user-blk back-ends: the VMM connects, its guest has a virtio disk.",
        epilog=SERVE_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("disk", nargs="*", metavar="SOCKET[=FILE]", help="path to listen on, and its image")
    parser.add_argument("--image", metavar="FILE", help="the image, where there is one disk")
    parser.add_argument("--fd", type=int, metavar="N", help="serve this inherited socket instead of a path")
    parser.add_argument(
        "--iothread",
        action="append",
        default=[],
        metavar="NAME|N",
        help="serve in a thread of this name, or in N threads",
    )
    parser.add_argument("--read-only", action="store_true", help="the guest may not write, others may read the image")
    parser.add_argument("--num-queues", type=int, default=1, metavar="N", help="request queues (1)")
    parser.add_argument("--queue-size", type=int, default=1024, metavar="N", help="descriptors of a queue (1024)")
    parser.add_argument("--serial", default="", metavar="TEXT", help="the disk's ID, at most 20 characters")
    parser.add_argument(
        "--logical-block-size",
        type=int,
        default=512,
        metavar="N",
        help="bytes of a block, 512 to 4096 (512)",
    )
    parser.add_argument(
        "--cache",
        choices=("writeback", "writethrough"),
        default="writeback",
        help="whether writes wait for the medium; a guest may change it (writeback)",
    )
    parser.add_argument("--once", action="store_true", help="end when the first front-end of each disk has left")
    parser.add_argument("--graph", metavar="FILE", help="draw nodes and contexts: .svg, .json or text")
    parser.add_argument("--timeline", metavar="FILE", help="draw who ran where: .svg, .json (Chrome's) or text")
    parser.add_argument("--json", action="store_true", help="tell what happens as JSON, one object a line, on stdout")
    parser.add_argument("-v", "--verbose", action="store_true", help="also say which requests of the guest fail")
    parser.set_defaults(command=serve)


def serve(options: argparse.Namespace) -> int:
    """Serve until told to end; return the exit code."""
    from outboard.cli.blk_serve import run

    return run(options, disks(options), thread_names(options.iothread))
