"""The command `fluent-plugin-amp`: its options, its words, and what each command but `run` does."""
