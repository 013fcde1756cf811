"""What the programs that administer Cisco's cloud share: options, session, screen, interrupts, tenants."""
