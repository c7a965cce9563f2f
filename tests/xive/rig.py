"""What the tests of sources share: a controller whose events and forwarded sources are recorded."""

from outboard.xive.events import Events
from outboard.xive.source import Notifier, Source


class Recorder(Notifier):
    """Keeps what is forwarded, and notes it in the log between the lines."""

    def __init__(self, log):
        self.log = log
        self.forwarded = []

    def notify(self, lisn, pq_checked):
        self.forwarded.append((lisn, bool(pq_checked)))
        self.log.append(f"forward {lisn:#x}")


class Listener:
    """An event hook that keeps every line."""

    def __init__(self, events):
        self.events = events
        self.lines = []

    def __call__(self, event, values):
        self.lines.append(self.events.line(event, values))

    def take(self):
        """Return the lines since the last time."""
        lines, self.lines[:] = list(self.lines), []
        return lines


class Rig:
    """A source controller of 16 sources; its last four are LSIs."""

    LSI = 12

    def __init__(self, shift=17, flags=0):
        self.events = Events()
        self.listener = Listener(self.events)
        self.events.listen(self.listener)
        self.recorder = Recorder(self.listener.lines)
        self.source = Source(self.recorder, 16, self.events, shift, flags)
        for srcno in range(self.LSI, 16):
            self.source.make_lsi(srcno)

    def status(self, srcno):
        return self.source.tables()["status"][srcno]

    def put(self, srcno, status):
        """Bring a source into a state, by what a guest and a device can do."""
        self.source.set_pq(srcno, 0b01)
        if srcno >= self.LSI:
            self.source.set_irq(srcno, bool(status & 4))
        self.source.set_pq(srcno, status & 3)
        assert self.status(srcno) == status
        self.take()

    def take(self):
        """Return what was forwarded since the last time, and forget the lines."""
        self.listener.take()
        forwarded, self.recorder.forwarded = self.recorder.forwarded, []
        return forwarded
