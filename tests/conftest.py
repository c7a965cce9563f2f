"""Fixtures of all tests that need sockets with a name, or count fds."""

import gc
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


@pytest.fixture
def socket_dir() -> Iterator[Path]:
    """A folder with a short name: the path of a UNIX socket has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="outboard-") as folder:
        yield Path(folder)


@pytest.fixture
def open_fds() -> Callable[[], int]:
    """Count the open fds of this process. Those that earlier tests left to the collector are closed by now."""
    gc.collect()
    return lambda: len(os.listdir("/proc/self/fd"))
