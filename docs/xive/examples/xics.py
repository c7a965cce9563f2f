"""An MSI, a level and an IPI through XICS, step by step."""

from outboard.xics import Xics

MSI, LSI = 0x1300, 0x1200
xics = Xics(vcpu_ids=[0, 1])
xics.claim(MSI)
xics.claim(LSI, is_lsi=True)


def show(what: str) -> None:
    cpu, _, _, lsi, msi, _ = xics.pic().splitlines()
    line = "up" if xics.irq(0) else "down"
    xirr, rest = cpu[6:19], cpu.partition(") ")[2]
    print(f"{what:30}{xirr} {rest}  line {line:6}LSI {lsi[-2:]}  MSI {msi[-2:]}")


for number, priority in ((MSI, 5), (LSI, 6)):
    xics.ics.write_xive(number, 0, priority, priority)  # ibm,set-xive
xics.pulse(MSI)
show("an MSI comes, CPPR is 0")
xics.icp.set_cppr(0, 0xFF)  # H_CPPR
show("CPU 0 lets everything in")
xics.set_irq(LSI, 1)
show("a level rises, less favoured")
xirr = xics.icp.accept(0)  # H_XIRR
show(f"accept gives {xirr:08x}")
xics.icp.eoi(0, xirr)  # H_EOI
show("EOI; the level was waiting")
xics.icp.set_mfrr(0, 4)  # H_IPI
show("an IPI displaces it")
xics.icp.set_mfrr(0, 0xFF)
show("taken back, it stays")
