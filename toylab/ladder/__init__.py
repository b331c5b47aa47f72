"""The ladder: how much of what a policy does each family of characters explains."""
