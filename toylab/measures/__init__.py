"""Measures: what a policy does, beside what the cast says it could do."""
