"""The one form of every learner, and what is asked of it."""
