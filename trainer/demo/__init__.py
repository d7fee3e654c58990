"""What `make demo` runs: train, export and adapt on invented characters, and draw the result."""
