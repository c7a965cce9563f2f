"""Checks of back-ends: each on a process and a connection of its own."""
