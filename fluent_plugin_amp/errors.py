"""Errors that a user can meet: each has an id, a cause, a remedy, and the exit code it asks for.  Pure.

The kinds of error stand here, and the errors that several rooms of the package know.  Those of the state file, of the
Cisco cloud and of single programs stand in an ``errors`` of their own: `state`, `cisco`, `commands`, `admin`.

The tree is named by the reaction it asks for::

    PluginError
     ├── ConfigError           stop: the configuration is wrong                        exit 78
     ├── UsageError            stop: the command line is wrong                         exit 2
     ├── Interrupted           stop: somebody asked to, at a prompt or while work is under way   exit 130
     ├── UnavailableError      try again later: a peer is away or not answering        exit 69
     ├── RefusedError          a peer said no: retried slowly by `run`, reported by others   exit 77
     ├── InvalidEvent          one event cannot be sent: it becomes a dead letter
     └── InternalFault         report it: nobody foresaw this; what it met is tried again   exit 70

An id is stable once released (``amqp.credentials-refused``): logs, metrics, dead letters and the error
reference use it.  Secrets never enter a message.
"""

from __future__ import annotations

from typing import ClassVar

EXIT_OK = 0
EXIT_NO = 1
EXIT_USAGE = 2
EXIT_UNAVAILABLE = 69
EXIT_BUG = 70
EXIT_REFUSED = 77
EXIT_CONFIG = 78
EXIT_INTERRUPTED = 130


class PluginError(Exception):
    """The root of the tree.  ``str(error)`` says what happened; ``remedy`` says what to do about it."""

    id: ClassVar[str] = "error"
    exit_code: ClassVar[int] = EXIT_BUG
    default_remedy: ClassVar[str] = ""

    def __init__(self, what: str, *, remedy: str | None = None) -> None:
        super().__init__(what)
        self.remedy = self.default_remedy if remedy is None else remedy


# --- stop: wrong configuration or command line ---------------------------------------------------


class ConfigError(PluginError):
    """The configuration cannot be used as it is."""

    id = "config.invalid"
    exit_code = EXIT_CONFIG
    default_remedy = "Correct the lines named above; `fluent-plugin-amp schema` describes every key."


class ConfigUnreadable(ConfigError):
    """The configuration file is not there, or may not be read."""

    id = "config.unreadable"
    default_remedy = (
        "Name the file with -c or $FLUENT_PLUGIN_AMP_CONFIG, and let the user that the plugin runs as read it, "
        "and enter its folder."
    )


class IncludeBroken(ConfigError):
    """On a reload, included files had mistakes: their streams run on as before, and all else was applied."""

    id = "config.include-broken"
    default_remedy = (
        "Correct the lines named above and send SIGHUP again. Do so before the next start, which refuses them."
    )


class ConfigSlow(ConfigError):
    """On a reload the files of the configuration could not be read in time."""

    id = "config.slow"
    default_remedy = "Look for a disk or a network file system that hangs; then send SIGHUP again."


class TlsFilesUnusable(ConfigError):
    """A certificate, key or CA file is not what TLS needs: not PEM, encrypted, or certificate and key do not fit."""

    id = "config.tls-files"
    default_remedy = "Give PEM files: ca_file with the CAs, cert_file with its chain, key_file not encrypted."


class Interrupted(PluginError):
    """The user, or the system, asked to stop before the work was done (Ctrl-C, SIGTERM, a lost terminal)."""

    id = "interrupted"
    exit_code = EXIT_INTERRUPTED
    default_remedy = "What was not done yet is left as it was; run the command again."


class UsageError(PluginError):
    """The command line cannot be used as it is."""

    id = "usage"
    exit_code = EXIT_USAGE
    default_remedy = "See --help."


# --- try again later -----------------------------------------------------------------------------


class UnavailableError(PluginError):
    """A peer is away, or does not answer in time."""

    id = "unavailable"
    exit_code = EXIT_UNAVAILABLE


class TooManyFiles(UnavailableError):
    """The process, or the system, has no file descriptor left: each stream and each server takes one."""

    id = "process.too-many-files"
    default_remedy = (
        "Raise the limit (systemd: LimitNOFILE=; a shell: ulimit -n), or share the streams among several processes "
        "with `shard`."
    )


class BrokerUnreachable(UnavailableError):
    """No connection to the broker: name not found, connection refused, or no answer in time."""

    id = "amqp.unreachable"
    default_remedy = "Check host, port and firewall: Cisco's brokers listen on TCP 443."


class BrokerProxyFailed(UnavailableError):
    """The proxy on the way to the broker cannot be reached, does not answer, or cannot reach the broker."""

    id = "amqp.proxy-failed"
    default_remedy = (
        "Check `proxy` (`http://` or `socks5://`, host and port), and whether the proxy can reach the broker's host "
        "and port: Cisco's brokers listen on TCP 443."
    )


class BrokerConnectionLost(UnavailableError):
    """An open connection to the broker ended: a network fault, a restart, or no heartbeat."""

    id = "amqp.connection-lost"
    default_remedy = "Nothing to do if it passes: the plugin reconnects, and the broker delivers again."


class BrokerChannelClosed(UnavailableError):
    """The broker closed the channel: for instance because deliveries stayed unacked too long."""

    id = "amqp.channel-closed"
    default_remedy = "Nothing to do if it passes; see the broker's words above."


class ConsumerCancelled(UnavailableError):
    """The broker cancelled the consumer: the queue was deleted, or its node went away."""

    id = "amqp.consumer-cancelled"
    default_remedy = "Check that the event stream still exists: `amp-streams list`."


class BrokerViolation(UnavailableError):
    """The broker, or what answers in its place, sent what AMQP does not allow; the connection was closed at once."""

    id = "amqp.protocol-violation"
    default_remedy = (
        "See whether a proxy or a load balancer in between changes the bytes, and whether this is the broker's port. "
        "It is tried again, rarely; report it if it stays."
    )


class EventTooLarge(UnavailableError):
    """The next event in the queue is larger than `max_event_size`: it was not received, and stays in the queue."""

    id = "amqp.event-too-large"
    default_remedy = (
        "Raise `max_event_size` above the size named here: until then the stream stands still. It is tried again, "
        "rarely: a quorum queue with a delivery limit deletes what was requeued too often."
    )


class ServerUnreachable(UnavailableError):
    """No connection to a Forward server: connection refused, name not found, no answer in time."""

    id = "forward.unreachable"
    default_remedy = "Check that Fluentd or Fluent Bit runs and has a forward input on this address."


class HandshakeTimeout(ServerUnreachable):
    """A Forward server took the connection and did not finish the handshake in time."""

    id = "forward.handshake-timeout"
    default_remedy = "Check that the server works and has a <security> section, or remove forward.security."


class ServerConnectionLost(UnavailableError):
    """A Forward server closed the connection."""

    id = "forward.connection-lost"
    default_remedy = "Nothing to do if it passes: chunks without an ack are sent again."


class AckTimeout(UnavailableError):
    """A Forward server took a chunk and did not acknowledge it in time."""

    id = "forward.ack-timeout"
    default_remedy = (
        "Look for a full or blocked buffer in the server (Fluentd: overflow_action, Fluent Bit: mem_buf_limit)."
    )


class ServerTakesNothing(UnavailableError):
    """A Forward server closes the connection, or never acks, whatever it is sent, a test record included."""

    id = "forward.takes-nothing"
    default_remedy = (
        "Look into the server's log: its buffer or disk is full (Fluentd: overflow_action throw_exception), its "
        "output fails, or its port expects TLS (`forward.tls: {}`). Events stay in the broker's queue until it takes "
        "them."
    )


class DemoIncomplete(UnavailableError):
    """`demo` lacks something on this machine: a package, or RabbitMQ."""

    id = "demo.incomplete"
    default_remedy = "pip install '.[demo]' in a checkout, and RabbitMQ 3.10 or later from the system's packages."


class NoProgress(UnavailableError):
    """For `pause_after` no event was acknowledged: in `--once`, in `replay`, or in what reads Cisco's cloud.

    What did not arrive stays in the broker's queue, or in the file.
    """

    id = "run.no-progress"
    default_remedy = (
        "`fluent-plugin-amp check --end-to-end` tries the broker, the state file and the servers. Look into the log "
        "of a server that acknowledges nothing."
    )


class HuntsLeftOut(UnavailableError):
    """More files asked for a hunt than the queue has room for: some were not noted.  Their next events ask again."""

    id = "hunts.left-out"
    default_remedy = (
        "Raise `rate_limit_share` of `hunts`, or have fewer events ask: `event_types`. Whoever wants to know of one "
        "file: amp-respond hunt."
    )


class ComputersLeftOut(UnavailableError):
    """An organisation has more than 500,000 computers: those beyond are not told of, until others have gone."""

    id = "computers.left-out"
    default_remedy = (
        "Look in the console whether there are so many. If so, have each organisation at Cisco polled with a key of "
        "its own; if not, tell Cisco: the API makes computers up."
    )


class HistoryInProgress(UnavailableError):
    """Another `backfill` or `reconcile --repair` works on the same stream or source: both would send the same."""

    id = "history.in-progress"
    default_remedy = "Wait until it has ended, or stop it."


class OutputClosed(UnavailableError):
    """Standard output or standard error cannot be written any more: its reader left, or the disk is full."""

    id = "stdout.closed"
    default_remedy = "Start the reader again; what was not written stays in the broker's queue."


# --- a peer said no ------------------------------------------------------------------------------


class RefusedError(PluginError):
    """A peer answered, and refused."""

    id = "refused"
    exit_code = EXIT_REFUSED


class BrokerCredentialsRefused(RefusedError):
    """The broker refused user name or password."""

    id = "amqp.credentials-refused"
    default_remedy = (
        "Check username and password of the stream; Cisco shows a password only once, "
        "`amp-streams rotate` makes a new one."
    )


class BrokerAccessRefused(RefusedError):
    """The broker refused the virtual host, or the user may not read the queue."""

    id = "amqp.access-refused"
    default_remedy = "Check that user name and queue belong to the same event stream."


class QueueInUse(RefusedError):
    """Another process consumes the queue exclusively."""

    id = "amqp.queue-in-use"
    default_remedy = "Stop the other consumer: several consumers split a stream between them."


class QueueNotFound(RefusedError):
    """The queue does not exist on the broker."""

    id = "amqp.queue-not-found"
    default_remedy = "Check the queue name, and that the event stream still exists: `amp-streams list`."


class BrokerProxyRefused(RefusedError):
    """The proxy on the way to the broker refused the user, the password, or the way to this broker."""

    id = "amqp.proxy-refused"
    default_remedy = (
        "Check user and password in `proxy` (407), and have the proxy's rules allow CONNECT to the broker's host and "
        "port (403)."
    )


class BrokerCertificateRefused(RefusedError):
    """The broker's certificate is not trusted, is expired, or names another host."""

    id = "amqp.certificate-refused"
    default_remedy = (
        "Give the right CA as tls.ca_file (in a fleet file: config.tls.ca_file), and the host name as in the "
        "certificate (tls.server_name)."
    )


class BrokerNotTls(RefusedError):
    """The broker's port does not speak AMQP in the way asked for (TLS or plain)."""

    id = "amqp.protocol-mismatch"
    default_remedy = "amqps:// is for TLS ports (443, 5671), amqp:// for plain ones (5672)."


class ServerCertificateRefused(RefusedError):
    """A Forward server's certificate is not trusted, is expired, or names another host."""

    id = "forward.certificate-refused"
    default_remedy = (
        "Give the right CA as forward.tls.ca_file, and the host name as in the certificate (server_name)."
    )


class ServerWantsTls(RefusedError):
    """A Forward server speaks TLS, and the plugin does not: it was asked on a connection of its own."""

    id = "forward.server-wants-tls"
    default_remedy = (
        "Set `forward.tls: {}`, with ca_file for a CA of your own; or take TLS off the server's port (Fluentd: "
        "<transport tls>, Fluent Bit: tls on)."
    )


class ServerIsPlain(RefusedError):
    """The plugin speaks TLS, and a Forward server does not."""

    id = "forward.server-is-plain"
    default_remedy = (
        "Give the server's port TLS (Fluentd: <transport tls>, Fluent Bit: tls on), or remove forward.tls."
    )


class HandshakeRefused(RefusedError):
    """A Forward server refused the shared key, the user or the password, or the handshake did not fit."""

    id = "forward.handshake-refused"
    default_remedy = (
        "Compare forward.security with the server's <security> section (Fluent Bit: shared_key, security.users)."
    )


class WrongAck(RefusedError):
    """A Forward server answered something other than the ack of a chunk in flight."""

    id = "forward.wrong-ack"
    default_remedy = "Check that the peer is a Forward server, and nothing in between answers for it."


class ServerProtocolViolation(RefusedError):
    """A Forward server sent what is no message of the protocol, or one larger than any that is needed."""

    id = "forward.protocol-violation"
    default_remedy = "Check that the peer is a Forward server, and nothing in between answers for it."


class ServerConnectionFailed(RefusedError):
    """Reading from a Forward server, or writing to it, failed in a way that nobody foresaw: it was disconnected."""

    id = "forward.connection-failed"
    default_remedy = "Report it, with the traceback in the log; the server is tried again."


# --- one event -----------------------------------------------------------------------------------


class InvalidEvent(PluginError):
    """An event that cannot be sent as a record; its bytes go to the dead letters, whole."""

    id = "event.invalid"
    default_remedy = "The event's original bytes are in the dead letter; report it to Cisco if it should be valid."


class EventNotJson(InvalidEvent):
    """The body is not JSON: malformed, empty, not UTF-8, NaN or Infinity, half a surrogate pair, or a number that
    cannot be kept at all (an integer of more than 4,300 digits, anything beyond 1.8e308)."""

    id = "event.not-json"


class EventNotObject(InvalidEvent):
    """The body is JSON, but no object."""

    id = "event.not-object"


class EventTooDeep(InvalidEvent):
    """The body nests deeper than a Forward server can keep (60 levels)."""

    id = "event.too-deep"


class EventTooManyValues(InvalidEvent):
    """The body holds more than 250,000 values, which take many times its size in memory, and seconds.

    Or its numbers have more than 5,000,000 digits together.
    """

    id = "event.too-many-values"


class EventIntegerTooLarge(InvalidEvent):
    """The body holds an integer outside -2^63 … 2^64-1 (of up to 4,300 digits), which msgpack cannot carry."""

    id = "event.integer-too-large"


class EventRefusedByServer(InvalidEvent):
    """The Forward server closes the connection, or never acks, whenever this one event is sent."""

    id = "event.refused-by-server"
    default_remedy = (
        "Look into the server's log at that time; often the event exceeds the server's chunk or buffer size."
    )


class EventProcessingFailed(InvalidEvent):
    """A step failed on this event in a way that nobody foresaw; the reason names the step and the exception."""

    id = "event.processing-failed"
    default_remedy = (
        "Report it, with the traceback that the log has of it; the event's original bytes are in the dead letter."
    )


# --- report it -----------------------------------------------------------------------------------


class InternalFault(PluginError):
    """A fault of the plugin's own: only what it met (an event, a stream, a task) is affected, and it is reported."""

    id = "internal.error"
    exit_code = EXIT_BUG
    default_remedy = "Report it, with the traceback that the log has of it."
