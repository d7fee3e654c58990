"""Meta-training in PyTorch: learners, data, the loop, evaluation, export."""
