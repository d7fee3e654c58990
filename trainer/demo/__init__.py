"""What `make demo` runs: train, export and adapt to made-up persons, and draw what examples gain."""
