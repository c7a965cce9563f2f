"""A device's fds, calls and timers, in one IOThread and then in another."""

import threading

from outboard.aio import Completion, Home, IOThread, co_run, current_context
from outboard.aio.world import EventFd
from outboard.host.loop import EDGE, READ


def handle() -> None:
    """Serve a kick."""
    if kick.test_and_clear():
        print("kick in", threading.current_thread().name)
        served.set()


async def request(number: int) -> str:
    """Wait for something that another thread completes."""
    done: Completion[int] = Completion()
    threading.Thread(target=done.set_result, args=(number + 1,)).start()
    return f"{await done} in {current_context().name}"


with IOThread("io0") as one, IOThread("io1") as two:
    kick, served = EventFd(), threading.Event()
    home = Home(one.context)
    home.add(kick.fd, READ | EDGE, handle)
    kick.set()
    served.wait()

    served.clear()
    with home.context:  # nothing of io0 runs
        kick.set()
        home.move(two.context)
    served.wait()
    print("a call in", home.run_in(lambda: current_context().name))
    print("a coroutine:", co_run(home, request(41)))
    home.close()
    kick.close()
