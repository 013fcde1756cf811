"""To the receiver: the Forward protocol client, and standard output for pipes."""
