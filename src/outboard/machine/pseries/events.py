"""What the machine tells besides its interrupt controllers."""

from outboard.spapr.xics_hcalls import ERROR
from outboard.xive.events import GUEST_ERROR, formats

FORMATS = formats(
    GUEST_ERROR,
    {
        "tce_bounds": "%s on out-of-bounds IOBA 0x%016x",
        "msi_unclaimed": "a message with LISN 0x%x, which is not claimed",
        "edu_bounds": "EDU: DMA of 0x%x, %d bytes, is out of bounds",
        "edu_clamps": "EDU: clamping DMA 0x%016x to 0x%016x!",
    },
) | formats(ERROR, {"device_failed": "%s: %s"})
