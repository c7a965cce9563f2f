"""Random schedules of devices and CPUs: an event of a source calls its handler exactly once, whatever else happens."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.machine.guest.rig import LSI, Rig


class Schedules(RuleBasedStateMachine):
    """Devices that send one event and wait for its handler, CPUs that take interrupts whenever they like."""

    mode = ""
    lsi = (LSI, LSI + 1)

    def rig_of(self, vsmt):
        """Return a booted machine with three CPUs."""
        return Rig(self.mode, cpus=3, vsmt=vsmt)

    @initialize(vsmt=st.sampled_from([1, 8]))
    def boot(self, vsmt):
        self.rig = self.rig_of(vsmt)
        self.online = {0, 1, 2}
        self.masked = set()
        self.waiting = set()
        self.sent = dict.fromkeys([*self.rig.msis, *self.lsi], 0)
        self.handled = dict.fromkeys(self.sent, 0)
        self.ipis = {0: 0, 1: 0, 2: 0}
        self.ipi_waits = set()
        self.rig.ic.on_ipi = self.take_ipi
        for at, lisn in enumerate(self.sent):
            self.rig.ic.request(self.rig.cpus[0], lisn, self.take, lisn in self.lsi, at % 3)

    def take(self, cpu, lisn):
        assert cpu.index in self.online, "handled by a CPU that is offline"
        assert lisn in self.waiting, "handled, but not sent"
        assert lisn not in self.masked, "handled while it was masked"
        self.waiting.discard(lisn)
        self.handled[lisn] += 1
        if lisn in self.lsi:
            self.rig.irq.set_irq(lisn, 0)

    def take_ipi(self, cpu):
        assert cpu.index in self.ipi_waits, "an IPI that nobody sent"
        self.ipi_waits.discard(cpu.index)

    def by(self, data):
        return self.rig.cpus[data.draw(st.sampled_from(sorted(self.online)))]

    @rule(data=st.data())
    def send(self, data):
        free = sorted(self.sent.keys() - self.waiting)
        if free:
            lisn = data.draw(st.sampled_from(free))
            self.waiting.add(lisn)
            self.sent[lisn] += 1
            if lisn in self.lsi:
                self.rig.irq.set_irq(lisn, 1)
            else:
                self.rig.irq.pulse(lisn)

    @rule(data=st.data())
    def send_ipi(self, data):
        target = self.by(data).index
        if target not in self.ipi_waits:
            self.ipi_waits.add(target)
            self.rig.ic.send_ipi(self.by(data), target)

    @rule(data=st.data())
    def interrupt(self, data):
        cpu = self.by(data)
        if cpu.irq():
            self.rig.ic.handle(cpu)

    @rule(data=st.data())
    def mask(self, data):
        lisn = data.draw(st.sampled_from(sorted(self.sent)))
        self.rig.ic.mask(self.by(data), lisn)
        self.masked.add(lisn)

    @precondition(lambda self: self.masked)
    @rule(data=st.data())
    def unmask(self, data):
        lisn = data.draw(st.sampled_from(sorted(self.masked)))
        self.masked.discard(lisn)
        self.rig.ic.unmask(self.by(data), lisn)

    @rule(data=st.data())
    def move(self, data):
        lisn = data.draw(st.sampled_from(sorted(self.sent)))
        self.rig.ic.set_affinity(self.by(data), lisn, self.by(data).index)

    @precondition(lambda self: len(self.online) > 1)
    @rule(data=st.data())
    def offline(self, data):
        cpu = self.by(data)
        self.rig.ic.stop_cpu(cpu)
        self.online.discard(cpu.index)

    @precondition(lambda self: len(self.online) < 3)
    @rule(data=st.data())
    def bring_online(self, data):
        index = data.draw(st.sampled_from(sorted({0, 1, 2} - self.online)))
        self.online.add(index)
        self.rig.ic.setup_cpu(self.rig.cpus[index])

    @rule()
    def settle(self):
        """When all CPUs have taken what there is, only what is masked still waits."""
        while any(self.rig.cpus[index].irq() for index in self.online):
            for index in sorted(self.online):
                if self.rig.cpus[index].irq():
                    self.rig.ic.handle(self.rig.cpus[index])
        assert self.waiting <= self.masked and not self.ipi_waits, (self.waiting, self.masked, self.ipi_waits)

    def teardown(self):
        if hasattr(self, "rig"):
            for lisn in sorted(self.masked):
                self.masked.discard(lisn)
                self.rig.ic.unmask(self.rig.cpus[min(self.online)], lisn)
            self.settle()
            assert self.handled == self.sent and self.rig.ic.counters.stale == 0
