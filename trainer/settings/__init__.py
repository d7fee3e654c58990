"""Settings: read, checked, and refused in words."""
