"""Completeness records: for each stream and hour, what the cloud had and what was delivered, chained and verified."""
