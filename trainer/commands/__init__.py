"""What the training commands do: one function each, called by the command line."""
