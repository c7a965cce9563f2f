"""What raises, and what never does."""

from outboard.errors import LocalError
from outboard.spapr import SpaprXive

xive = SpaprXive(cpus=1)
cpu = xive.cpu(0)


def ours(what: str, *call: object) -> None:
    try:
        call[0](*call[1:])  # type: ignore[operator]
    except LocalError as error:
        print(f"{what}: {error}")


(status,) = cpu.hcall("H_INT_SYNC", 0, 0x1002)  # a number that nobody claimed
print(f"a guest's mistakes: H_INT_SYNC {status}, a load of 4 bytes of a source's page {cpu.load(0x6010000000000, 4)}")
ours("caller", xive.cpu, 3)
ours("caller", cpu.hcall, "H_INT_SYNC", -1)
ours("caller", cpu.load, 0, 3)
ours("caller", cpu.store, 0, 1, 0x100)
ours("device", xive.pulse, 0x1300)
ours("firmware", xive.claim, 0x1000)
ours("firmware", xive.plug, 0)
ours("caller", SpaprXive, 0)
ours("caller", SpaprXive(2).restore, xive.snapshot())
