"""The composed machine and the guest's view of it: a VMM in miniature, and drivers written against it."""
