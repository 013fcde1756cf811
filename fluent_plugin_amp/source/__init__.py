"""From the broker: AMQP consumers, their ledgers of unacked deliveries, their flow of consumption."""
