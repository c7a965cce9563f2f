"""POWER9 XIVE: sources (IVSE), router (IVRE), presenter (IVPE), TIMA, END ESB pages, `info pic`."""
