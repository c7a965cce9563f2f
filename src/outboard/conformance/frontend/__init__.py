"""Checks of front-ends: what a VMM says, and what it answers when it is asked."""
