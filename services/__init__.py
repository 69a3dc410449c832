"""The verbs, in the caller's transaction."""
