"""The world: what can be said and who says it, exactly."""
