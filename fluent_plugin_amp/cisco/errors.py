"""Errors of the Cisco cloud's REST API, of the names in it, and of the credentials that it gives.  Pure."""

from __future__ import annotations

from fluent_plugin_amp.errors import RefusedError, UnavailableError, UsageError


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
    """The organisation's rate limit is used up, for longer than the command may wait."""

    id = "cloud.rate-limited"
    default_remedy = (
        "Try again later; the running plugin does so by itself. `amp-streams` and `amp-respond` wait longer with "
        "--max-wait."
    )


class CloudAnswerNotUnderstood(UnavailableError):
    """The answer is not what the API documents: not JSON, too large, a field missing, endless pages, a redirect."""

    id = "cloud.answer-not-understood"
    default_remedy = "Check that the host is a Cisco API (a proxy's or a portal's page may have answered instead)."


class CloudAnswerLost(UnavailableError):
    """The answer to the creation of a stream was lost, and with it, perhaps, the one-time password."""

    id = "cloud.answer-lost"
    default_remedy = "See with `amp-streams list` whether the stream exists; if so, delete it and create it again."


class ActionInDoubt(UnavailableError):
    """An action was sent, its answer was lost or is none of the cloud's, and nothing shows that it was done."""

    id = "cloud.action-in-doubt"
    default_remedy = (
        "Look at the state (`amp-respond status`, `amp-respond lists --files`); the action can be repeated."
    )

    def __init__(self, what: str, *, remedy: str | None = None, late: bool = False) -> None:
        super().__init__(what, remedy=remedy)
        self.late = late
        """The cloud may still be doing it."""


class CloudCredentialsRefused(RefusedError):
    """The Cisco cloud does not accept the API key."""

    id = "cloud.credentials-refused"
    default_remedy = (
        "Check client id and API key, and the cloud: a key is valid in one region only, "
        "`amp-streams test` without --region finds which."
    )


class CloudReadOnlyKey(RefusedError):
    """The API key may read, but not change anything: event streams, computers, lists of files."""

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
        "Check the proxy's rules, and the user and password in its URL (http://user:password@host:port), "
        "wherever that was given: --proxy, `proxy` in the configuration, HTTPS_PROXY or ALL_PROXY."
    )


class CloudRefused(RefusedError):
    """The Cisco cloud refused the request for another reason, given in its own words."""

    id = "cloud.refused"
    default_remedy = "See the cloud's words above."

    def __init__(self, what: str, *, remedy: str | None = None, status: int | None = None) -> None:
        super().__init__(what, remedy=remedy)
        self.status = status
        """The HTTP status of the answer."""


class EventStreamNotFound(RefusedError):
    """The event stream does not exist, or no longer exists."""

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


class ComputerNotFound(RefusedError):
    """The organisation has no computer with this GUID or host name."""

    id = "cloud.computer-not-found"
    default_remedy = "Give the connector GUID, or the host name as the console shows it, in full."


class ComputerAmbiguous(RefusedError):
    """Several computers have this host name."""

    id = "cloud.computer-ambiguous"
    default_remedy = "Give the connector GUID of the one that is meant."


class IsolationForbidden(RefusedError):
    """The policy of the computer does not let it be isolated."""

    id = "cloud.isolation-forbidden"
    default_remedy = "Allow endpoint isolation in the policy of the computer (console: Management > Policies)."


class IsolationConflict(RefusedError):
    """The computer is in a state in which it can be neither isolated nor released; mostly on its way to the other."""

    id = "cloud.isolation-conflict"
    default_remedy = "Wait until `amp-respond status` shows that the state was reached; then try again."


class FileListNotFound(RefusedError):
    """No list of files for blocking has this name or GUID. Allow lists are not looked at: they are never changed."""

    id = "cloud.list-not-found"
    default_remedy = "See `amp-respond lists`."


class FileListAmbiguous(RefusedError):
    """Several lists of files have this name."""

    id = "cloud.list-ambiguous"
    default_remedy = "Give the GUID of the one that is meant: `amp-respond lists`."


class FileListWrongType(RefusedError):
    """The list of files is not one for blocking: a bad file on an allow list would be let through."""

    id = "cloud.list-wrong-type"
    default_remedy = "Name a list of the type simple custom detections or application blocking: `amp-respond lists`."


class NameUnknown(UsageError):
    """The organisation has nothing of this name or id."""

    id = "name.unknown"
    default_remedy = "See `amp-streams event-types --search TEXT` or `amp-streams groups --search TEXT`."


class NameAmbiguous(UsageError):
    """Several things have this name."""

    id = "name.ambiguous"
    default_remedy = "Give the full name, or the id."


class NameAbbreviated(NameAmbiguous):
    """Only the beginning of a name was given: accepted if a user at a terminal agrees, refused elsewhere."""

    id = "name.abbreviated"
    default_remedy = "Write the full name, or the id."


class NotSha256(UsageError):
    """The hash of a file is another one than its SHA-256, or has a digit too few, too many or wrong."""

    id = "hash.not-sha256"
    default_remedy = "Give the file's SHA-256 with all its 64 hexadecimal digits; an event of the file has it."


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
