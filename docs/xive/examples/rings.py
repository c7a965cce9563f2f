"""The OS ring of a CPU, byte by byte, while events of several priorities reach it and its priority changes."""

from outboard.spapr import SpaprXive

xive = SpaprXive()
cpu = xive.cpu(0)


def show(step: str) -> None:
    registers = " ".join(f"{value:02x}" for name, value in cpu.ring().items() if name not in ("W2", "W3"))
    print(f"{step:24} {registers}   {'up' if cpu.irq() else '-'}")


def event(priority: int) -> None:
    """What the presenter does for an event of a priority: the OS may ask for it, too."""
    cpu.set_pending(priority)


print(f"{'':24} {' '.join(name[:2] for name in list(cpu.ring())[:8])}   line")
show("reset")
cpu.set_cppr(0xFF)
show("CPPR := ff")
event(6)
show("event, priority 6")
show(f"acknowledge: {cpu.ack():#06x}")
cpu.set_cppr(5)
event(5)
show("CPPR := 5, event 5")
event(4)
show("event, priority 4")
cpu.set_cppr(0)
show("CPPR := 0")
show(f"acknowledge: {cpu.ack():#06x}")
show(f"acknowledge: {cpu.ack():#06x}")
cpu.set_cppr(0xFF)
show("CPPR := ff")
