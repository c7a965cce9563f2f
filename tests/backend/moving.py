"""A back-end that lives in IOThreads, and threads that move it from one to another all the while."""

import contextlib
import random
import threading

import outboard.gpu
from outboard.aio.iothread import IOThread
from tests.backend.conftest import eventually


class Movers:
    """Threads that move a service among contexts as fast as they can. count: moves that were made."""

    def __init__(self, service, contexts, threads=1):
        self.count = 0
        self.failure = None
        self._service = service
        self._contexts = contexts
        self._over = threading.Event()
        self._counting = threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=(seed,)) for seed in range(threads)]

    def _run(self, seed):
        choice = random.Random(seed)
        try:
            while not self._over.is_set():
                here = self._service.context
                self._service.try_set_aio_context(choice.choice([ctx for ctx in self._contexts if ctx is not here]))
                with self._counting:
                    self.count += 1
        except BaseException as error:
            self.failure = error

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        for thread in self._threads:
            thread.join()
        if self.failure is not None:
            raise self.failure

    def more(self, moves):
        """Wait until so many more moves were made."""
        wanted = self.count + moves
        eventually(lambda: self.count >= wanted or self.failure, f"{moves} moves")

    def refused(self):
        """Wait until a move was refused; that is raised when the `with` block ends."""
        eventually(lambda: self.failure, "a refusal")


@contextlib.contextmanager
def iothreads(count=3):
    """Run IOThreads; yields them."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(IOThread(f"io{at}")) for at in range(count)]


@contextlib.contextmanager
def moving(path, threads=1, there=None, **options):
    """Serve a GPU on a path, and move it all the while, in IOThreads of its own or in `there`.

    Yields the service, with `path` and `movers`.
    """
    with contextlib.ExitStack() as stack:
        there = there or stack.enter_context(iothreads())
        service = stack.enter_context(outboard.gpu.serve(path, iothread=there[0], **options))
        service.path = path
        service.movers = stack.enter_context(Movers(service, [one.context for one in there], threads))
        yield service
