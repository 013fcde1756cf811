"""The command `amp-streams`: event streams managed over the cloud's REST API."""
