"""The world: what can be said, and how likely each character says it."""
