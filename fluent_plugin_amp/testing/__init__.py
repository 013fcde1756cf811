"""Shipped helpers to test against: a private RabbitMQ, a scriptable Fluentd, synthetic events."""
