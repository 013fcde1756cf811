"""How many events wait in a queue, for a command that tells it beside its own findings."""

from __future__ import annotations

import ssl
from pathlib import Path
from urllib.parse import urlsplit

from fluent_plugin_amp.cisco.credentials import read
from fluent_plugin_amp.errors import CredentialsFileUnusable, PluginError
from fluent_plugin_amp.source import amqp

CONNECT_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 2.0


async def messages_ready(broker: amqp.Broker, queue: str) -> int | None:
    """Messages ready in ``queue``, of which asking takes none; None where the broker does not tell."""
    try:
        connection = await amqp.connect(broker)
    except PluginError:
        return None
    try:
        channel = await connection.open_channel()
        return (await channel.declare_passive(queue)).messages
    except PluginError:
        return None
    finally:
        await connection.close(CLOSE_TIMEOUT_S)


async def count_waiting(queue: str, twin_file: Path, *, ca_file: str | None) -> int | None:
    """`messages_ready` of a stream that is being rotated, asked for with the credentials in ``twin_file``.

    A passive declare needs no permission on the queue, so the twin's user can ask about the old stream's, whose
    password may be lost.  Brokers are free to refuse, and the file may be in a form for another program.
    """
    try:
        saved = read(twin_file)
        url = urlsplit(saved.url)
        broker = amqp.Broker(
            host=url.hostname or "",
            port=url.port or 443,
            username=saved.username,
            password=saved.password,
            tls=ssl.create_default_context(cafile=ca_file),
            connect_timeout_s=CONNECT_TIMEOUT_S,
        )
        return await messages_ready(broker, queue)
    except (CredentialsFileUnusable, PluginError, ValueError, OSError):
        return None
