"""Recordings of sensors: files of readings, and windows cut from them."""
