"""What only the commands need: verify, inspect, bench, evaluate, picture folders, text."""
