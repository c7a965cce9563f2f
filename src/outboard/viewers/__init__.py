"""Ways to look at screens: PNG files for now."""
