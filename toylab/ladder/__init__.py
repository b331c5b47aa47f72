"""The ladder: how much of a policy's behaviour each family of distributions explains."""
