"""The Cisco cloud: regions, the REST client, event streams."""
