"""Policies, which answer prompts and score answers: a transformer, or a model from outside."""
