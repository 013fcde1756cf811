"""What the cloud has of a stream against what was delivered: for the commands and for completeness records."""
