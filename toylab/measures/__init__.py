"""Measures: what a policy does, compared with what the cast predicts."""
