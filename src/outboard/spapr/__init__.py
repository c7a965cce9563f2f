"""The pseries machine: its interrupt controller as the guest sees it, by hypercalls, pages and numbers."""
