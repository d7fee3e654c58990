"""Meta-training: the loop and what it is made of, from a run's folder to one meta-gradient."""
