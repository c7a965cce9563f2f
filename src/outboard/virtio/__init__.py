"""Split virtqueues: the device's side and the driver's side."""
