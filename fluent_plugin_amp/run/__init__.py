"""The daemon: the parts of `fluent-plugin-amp run`, put together, kept running and changed while they run."""
