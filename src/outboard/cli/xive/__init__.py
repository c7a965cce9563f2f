"""`outboard xive`: recordings replayed, and a prompt on a controller."""
