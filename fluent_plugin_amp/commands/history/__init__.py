"""Events that the cloud has recorded: `backfill` and `reconcile`."""
