"""The state file: what was delivered, and dead letters that no server takes, beyond the life of a process."""
