"""What an operator sees: logs and figures, made from the facts that the parts report."""
