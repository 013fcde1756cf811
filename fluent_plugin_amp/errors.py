"""Every error a user can meet: its id, its cause, its remedy, and the exit code it asks for.  Pure.

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


class ConfigSlow(ConfigError):
    """On a reload the files of the configuration could not be read in time."""

    id = "config.slow"
    default_remedy = "Look for a disk or a network file system that hangs; then send SIGHUP again."


class TlsFilesUnusable(ConfigError):
    """A certificate, key or CA file is not what TLS needs: not PEM, encrypted, or certificate and key do not fit."""

    id = "config.tls-files"
    default_remedy = "Give PEM files: ca_file with the CAs, cert_file with its chain, key_file not encrypted."


class StateInUse(ConfigError):
    """Another process has the state file: each needs one of its own."""

    id = "state.in-use"
    default_remedy = "Stop the other process, or give this one a `state.path` of its own."


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
    default_remedy = "pip install 'fluent-plugin-amp[demo]', and RabbitMQ 3.10 or later from the system's packages."


class NoProgress(UnavailableError):
    """`--once` could not deliver anything for `pause_after`."""

    id = "run.no-progress"
    default_remedy = "See the errors logged above; `fluent-plugin-amp check` tries each peer."


class HistoryInProgress(UnavailableError):
    """Another `backfill` or `reconcile --repair` of the same stream is at work: both would send the same events."""

    id = "history.in-progress"
    default_remedy = "Wait until it has ended, or stop it."


class OutputClosed(UnavailableError):
    """Standard output was closed by its reader."""

    id = "stdout.closed"
    default_remedy = "Start the reader again; what was not written stays in the broker's queue."


class StateUnusable(UnavailableError):
    """The state file cannot be opened, read or written: events are delivered, but not remembered across restarts."""

    id = "state.unusable"
    default_remedy = (
        "Let the plugin's user create and write the file, its folder and the files beside it; "
        "delivery goes on meanwhile, and the file is tried again."
    )


class StateCorrupt(StateUnusable):
    """The state file, or a part of it, is damaged or written by another program, or is no state file at all.

    Damaged rows are set aside within the file.  A file that is damaged as a whole is kept as ``….corrupt``, unless
    there is one already.
    """

    id = "state.corrupt"
    default_remedy = (
        "Look for a failing disk. If it stays: move the file and those beside it (-wal, -shm) away, and a new one is "
        "made. What it remembered is forgotten, so events that the broker delivers again may arrive twice."
    )


class StateValueRefused(StateUnusable):
    """A value cannot be written into the state file, though the file is well: it is left out."""

    id = "state.value-refused"
    default_remedy = "Nothing to do: the event is delivered. Report the message if you see it often."


class StateDiskFull(StateUnusable):
    """The disk, or the quota, of the state file is full."""

    id = "state.disk-full"
    default_remedy = "Make room, or lower `state.remember`; delivery goes on meanwhile, and the file is tried again."


class StateTooNew(StateUnusable):
    """The state file was written by a newer version of the plugin."""

    id = "state.too-new"
    default_remedy = "Run the newer version, or name another file as `state.path`."


class StateOutdated(StateUnusable):
    """The state file was written by an older version of the plugin, and was not brought up to date yet."""

    id = "state.outdated"
    default_remedy = "`fluent-plugin-amp run` brings it up to date."


class StateSlow(StateUnusable):
    """The disk of the state file does not answer in time."""

    id = "state.slow"
    default_remedy = "Look for a disk or a network file system that hangs; delivery goes on meanwhile."


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


class BrokerCertificateRefused(RefusedError):
    """The broker's certificate is not trusted, is expired, or names another host."""

    id = "amqp.certificate-refused"
    default_remedy = "Give the right CA as tls.ca_file, and the host name as in the certificate (tls.server_name)."


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
    """The body holds more than 250,000 values, which take many times its size in memory, and seconds."""

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


# --- the Cisco cloud -----------------------------------------------------------------------------


class CloudUnreachable(UnavailableError):
    """No connection to the Cisco cloud's API: name not found, refused, cut, or no answer in time."""

    id = "cloud.unreachable"
    default_remedy = "Check the network, DNS, and the proxy (HTTPS_PROXY, NO_PROXY): the API listens on TCP 443."


class CloudProxyFailed(UnavailableError):
    """The proxy on the way to the Cisco cloud cannot be reached, or cannot reach the cloud (5xx)."""

    id = "cloud.proxy-failed"
    default_remedy = (
        "Check the proxy in HTTPS_PROXY, ALL_PROXY or --proxy, and whether it may reach the cloud; "
        "NO_PROXY names hosts that need none."
    )


class CloudServerError(UnavailableError):
    """The Cisco cloud answered with a fault of its own (5xx), again and again."""

    id = "cloud.server-error"
    default_remedy = "Try again later; Cisco's status page tells about known outages."


class CloudRateLimited(UnavailableError):
    """The organisation's rate limit is used up for longer than may be waited."""

    id = "cloud.rate-limited"
    default_remedy = "Try again later, or allow a longer wait with --max-wait."


class CloudAnswerNotUnderstood(UnavailableError):
    """The answer is not what the API documents: no JSON, too large, a field missing, endless pages, a redirect."""

    id = "cloud.answer-not-understood"
    default_remedy = "Check that the host is a Cisco API (a proxy's or a portal's page may have answered instead)."


class CloudAnswerLost(UnavailableError):
    """The answer to the creation of a stream was lost, and with it, perhaps, the one-time password."""

    id = "cloud.answer-lost"
    default_remedy = "See with `amp-streams list` whether the stream exists; if so, delete it and create it again."


class CloudCredentialsRefused(RefusedError):
    """The Cisco cloud does not accept the API key."""

    id = "cloud.credentials-refused"
    default_remedy = (
        "Check client id and API key, and the cloud: a key is valid in one region only, "
        "`amp-streams test` without --region finds which."
    )


class CloudReadOnlyKey(RefusedError):
    """The API key may read, but not create, change or delete event streams."""

    id = "cloud.read-only-key"
    default_remedy = "Make a key with the scope Read & Write in the console (Accounts > API Credentials)."


class CloudCertificateRefused(RefusedError):
    """The certificate of the Cisco cloud's API is not trusted, is expired, or names another host."""

    id = "cloud.certificate-refused"
    default_remedy = (
        "Give the right CA with --ca-file, SSL_CERT_FILE or cloud.ca_file "
        "(a private cloud or a TLS-inspecting proxy brings its own)."
    )


class CloudProxyRefused(RefusedError):
    """The proxy on the way to the Cisco cloud refused to let the request through."""

    id = "cloud.proxy-refused"
    default_remedy = (
        "Check the proxy's rules, and its user and password in HTTPS_PROXY (http://user:password@host:port)."
    )


class CloudRefused(RefusedError):
    """The Cisco cloud refused the request for another reason, given in its own words."""

    id = "cloud.refused"
    default_remedy = "See the cloud's words above."


class EventStreamNotFound(RefusedError):
    """There is no such event stream, or there is none any more."""

    id = "cloud.stream-not-found"
    default_remedy = "See `amp-streams list`."


class EventStreamAmbiguous(RefusedError):
    """Several event streams have this name."""

    id = "cloud.stream-ambiguous"
    default_remedy = "Name the stream by its id."


class EventStreamLimit(RefusedError):
    """The organisation has as many event streams as Cisco allows."""

    id = "cloud.stream-limit"
    default_remedy = "Delete one that is no longer consumed: `amp-streams list`, `amp-streams delete`."


class EventStreamNameTaken(RefusedError):
    """An event stream of this name exists already."""

    id = "cloud.name-taken"
    default_remedy = "Choose another name; `amp-streams rotate` makes a new password for an existing stream."


class NameUnknown(UsageError):
    """A name or id that fits nothing the organisation has."""

    id = "name.unknown"
    default_remedy = "See `amp-streams event-types --search` and `amp-streams groups --search`."


class NameAmbiguous(UsageError):
    """A name that fits several things."""

    id = "name.ambiguous"
    default_remedy = "Give the full name, or the id."


class NameAbbreviated(NameAmbiguous):
    """The beginning of one name only: accepted if somebody at a terminal agrees, refused where nobody is asked."""

    id = "name.abbreviated"
    default_remedy = "Write the full name, or the id."


class CredentialsFileUnusable(UsageError):
    """The file for a stream's credentials cannot be written, exists already, or is not what it should be."""

    id = "credentials.file-unusable"
    default_remedy = "Name a new file in a folder that you may write to; nothing was created in the cloud."


class CredentialsNotSaved(UnavailableError):
    """A stream was created, but its credentials could not be saved after all: they were printed."""

    id = "credentials.not-saved"
    default_remedy = "Keep what was printed in a safe place: the password cannot be read again."

    def __init__(self, what: str, *, rescue: str, remedy: str | None = None) -> None:
        super().__init__(what, remedy=remedy)
        self.rescue = rescue


class CapturedFileUnusable(UsageError):
    """A file for `replay` or `explain` holds something other than events, or one that is too large or cut off."""

    id = "replay.file-unusable"
    default_remedy = (
        "Give events as JSON: one object a line, an array, an answer of the API (an object with `data`), or what a "
        "consumer printed. Events before this place were sent, or counted by --dry-run."
    )


class FleetInvalid(ConfigError):
    """The fleet file cannot be used as it is."""

    id = "fleet.invalid"
    default_remedy = "Correct the lines named above; docs/streams.md describes every key."
