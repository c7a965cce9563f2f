"""The composed machine and the guest's view of it: drivers and scenes, written against a front-end and its memory."""
