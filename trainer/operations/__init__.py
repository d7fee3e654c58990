"""Arithmetic that torch lacks in the form that is needed here."""
