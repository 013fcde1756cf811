"""Why a connection or a channel ended, or never began: what pika, asyncio and TLS raise, as our errors."""

from __future__ import annotations

import os
import socket
import ssl
from typing import TYPE_CHECKING

import pika.exceptions
from pika.adapters.utils.connection_workflow import AMQPConnectorException

from fluent_plugin_amp.descriptors import is_exhausted
from fluent_plugin_amp.errors import (
    BrokerAccessRefused,
    BrokerCertificateRefused,
    BrokerChannelClosed,
    BrokerConnectionLost,
    BrokerCredentialsRefused,
    BrokerNotTls,
    BrokerUnreachable,
    PluginError,
    QueueInUse,
    QueueNotFound,
    RefusedError,
    TooManyFiles,
)
from fluent_plugin_amp.tls import clock_remedy

if TYPE_CHECKING:
    from fluent_plugin_amp.source.amqp import BrokerAddress

CLIENT_CERTIFICATE = "A broker that asks for a client certificate ends a connection like this: see tls.cert_file."


def not_opened_because(broker: BrokerAddress, reason: BaseException, violation: Exception | None) -> Exception:
    """Why a connection could not be opened.

    A name may have several addresses, which fail in different ways: a refusal says more than silence.
    """
    causes = _causes(reason)
    if violation is not None:
        began = not any(isinstance(cause, pika.exceptions.IncompatibleProtocolError) for cause in causes)
        return violation if began else BrokerNotTls(f"{broker} did not answer in AMQP")
    errors = [error for cause in causes if (error := _told_by(broker, cause))]
    for error in errors:
        if isinstance(error, RefusedError):
            return error
    if errors:
        return errors[-1]
    return BrokerUnreachable(f"{broker}: {str(causes[-1]) or type(causes[-1]).__name__}")


def closed_because(reason: BaseException) -> PluginError:
    """Why an open channel or connection ended."""
    match reason:
        case PluginError():
            return reason
        case pika.exceptions.ChannelClosedByBroker(reply_code=404):
            return QueueNotFound(reason.reply_text)
        case pika.exceptions.ChannelClosedByBroker(reply_code=403) if "in exclusive use" in reason.reply_text:
            return QueueInUse(reason.reply_text)
        case pika.exceptions.ChannelClosedByBroker(reply_code=403):
            return BrokerAccessRefused(reason.reply_text)
        case pika.exceptions.ChannelClosedByBroker():
            return BrokerChannelClosed(f"{reason.reply_code} {reason.reply_text}")
        case pika.exceptions.ConnectionClosed():
            return BrokerConnectionLost(f"{reason.reply_code} {reason.reply_text}")
        case pika.exceptions.ChannelClosed():
            return BrokerChannelClosed("closed by us")
        case pika.exceptions.AMQPHeartbeatTimeout():
            return BrokerConnectionLost("no heartbeat from the broker")
    return BrokerConnectionLost(str(reason) or type(reason).__name__)


def _causes(reason: BaseException) -> list[BaseException]:
    """``reason`` and everything pika wrapped in it, the outermost first."""
    found = [reason]
    for exc in found:
        inner = [
            *getattr(exc, "exceptions", ()),
            getattr(exc, "exception", None),
            *(exc.args if isinstance(exc, pika.exceptions.AMQPConnectionError | AMQPConnectorException) else ()),
        ]
        found += [cause for cause in inner if isinstance(cause, BaseException) and cause not in found]
    return found


def _told_by(broker: BrokerAddress, cause: BaseException) -> PluginError | None:
    """One of the causes, if it tells anything."""
    match cause:
        case PluginError():
            return cause
        case socket.gaierror() if broker.tunnel is not None:  # then no name but the proxy's is resolved here
            return broker.tunnel.failed(cause.strerror or "its name is unknown")
        # pika guesses these two from the moment at which the connection ended; only the broker's code proves it.
        case pika.exceptions.ProbableAuthenticationError() if "(403)" in str(cause):
            return BrokerCredentialsRefused(f"{broker} refused the user name or the password")
        case pika.exceptions.ProbableAccessDeniedError() if "(530)" in str(cause):
            return BrokerAccessRefused(f"{broker} refused the virtual host {broker.vhost!r}")
        case pika.exceptions.ProbableAuthenticationError() | pika.exceptions.ProbableAccessDeniedError():
            return BrokerUnreachable(f"{broker} closed the connection during the login")
        case ssl.SSLCertVerificationError():
            return BrokerCertificateRefused(f"{broker}: {cause.verify_message}", remedy=clock_remedy(cause))
        case pika.exceptions.IncompatibleProtocolError() if broker.tls:
            return BrokerUnreachable(f"{broker} closed the connection before AMQP began", remedy=CLIENT_CERTIFICATE)
        case pika.exceptions.IncompatibleProtocolError():
            return BrokerNotTls(f"{broker} did not answer in AMQP")
        case ssl.SSLError() if "WRONG_VERSION_NUMBER" in str(cause) or "record layer" in str(cause):
            return BrokerNotTls(f"{broker} did not answer in TLS")
        case ssl.SSLError():
            return BrokerUnreachable(f"{broker}: TLS: {cause.reason or cause}")
        case socket.gaierror():
            return BrokerUnreachable(f"{broker}: {cause.strerror}")
        case OSError() if is_exhausted(cause):
            return TooManyFiles(f"{broker}: no connection: {os.strerror(cause.errno or 0)}")
        case ConnectionRefusedError():
            return BrokerUnreachable(f"{broker}: connection refused")
    return None
