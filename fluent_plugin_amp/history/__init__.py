"""What the cloud has of a stream, or of an audit log, against what was delivered: for commands and completeness."""
