cimport outboard.host.sigbus as sigbus
