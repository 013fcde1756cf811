"""From a delivery to a chunk: decode, transform, batch, and the conductor that joins the ends."""
