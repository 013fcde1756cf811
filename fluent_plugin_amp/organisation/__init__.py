"""What the plugin asks of an organisation by itself: sources that are polled over the REST API."""
