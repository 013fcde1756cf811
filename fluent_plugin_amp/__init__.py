"""Cisco AMP for Endpoints event streams into Fluentd and Fluent Bit, acknowledged end to end."""

__version__ = "0.1.0"
