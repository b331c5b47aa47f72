"""Measures: what a policy does, beside what the cast predicts."""
