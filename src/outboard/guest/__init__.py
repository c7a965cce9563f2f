"""Guest-physical memory: regions, checked access, and the primitives that touch it."""
