"""Whatever answers questions, and says how likely its answers are."""
