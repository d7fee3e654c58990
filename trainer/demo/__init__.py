"""What `make demo` runs: train, export, adapt to made-up persons, draw what examples gain."""
