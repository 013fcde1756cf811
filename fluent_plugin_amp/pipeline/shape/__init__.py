"""Events in a public schema, OCSF or ECS: one table for each, and the engine that follows it."""
