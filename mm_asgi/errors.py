"""The exceptions of mm_asgi, and whose fault each one is.

    MMASGIError
      +- ConfigError          the operator: a setting, a target, a file that is not there
      +- AppProtocolError     the app broke ASGI
      +- HostProtocolError    the host broke the plugin wire
      +- StartupError         the app could not be imported or its lifespan start-up failed
      +- BundleError          a bundle cannot be built or loaded
      +- APIError             a call to the host's PluginAPI failed
      |    +- NotFound, PermissionDenied, AlreadyExists, InvalidArgument, Unauthenticated,
      |       ResourceExhausted, Unimplemented, Unavailable, Internal
      +- ClientDisconnected   nobody: the client went away (an OSError too)

Messages have one shape: subject: what was found, in which state, what was expected; what to do.
"""

__all__ = [
    "APIError",
    "AlreadyExists",
    "AppProtocolError",
    "BundleError",
    "ClientDisconnected",
    "ConfigError",
    "HostProtocolError",
    "Internal",
    "InvalidArgument",
    "MMASGIError",
    "NotFound",
    "PermissionDenied",
    "ResourceExhausted",
    "StartupError",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
]

PLUGIN_FAILED = "the plugin failed, see its log"
"""The only text that a host sees when a plugin fails: an exception's own may hold a user's data."""


class MMASGIError(Exception):
    """The root of the tree.

    Calling this package wrongly raises Python's own TypeError, ValueError or LookupError instead.
    """


class ConfigError(MMASGIError):
    """The operator's fault: a setting, a target or a file is wrong. Nothing was started."""


class AppProtocolError(MMASGIError):
    """The app broke ASGI: raised in the app at the ``send()`` that was wrong.

    The state has not moved when it is raised: the app may catch it and send a right event.
    """


class HostProtocolError(MMASGIError):
    """The host sent a ServeHTTP stream that the wire contract does not allow."""


class StartupError(MMASGIError):
    """The app could not be imported, or its start-up failed; the host gets it from OnActivate."""


class BundleError(MMASGIError):
    """A plugin bundle cannot be built, read or loaded."""


class ClientDisconnected(MMASGIError, OSError):
    """The client has left and the app still sends: ``send()`` raises it after the grace.

    An OSError, as the ASGI specification asks of servers for a send on a closed connection.
    """


class APIError(MMASGIError):
    """A call to the host's PluginAPI failed; carries the fields of the host's AppError.

    Args:
        message: the text for a person; may be empty, then ``id`` is all there is.
        id: the host's error id, such as ``app.user.missing_account.const``.
        detailed_error: what the host adds for developers.
        status_code: the HTTP status that the host gave the error, or the one that its gRPC status
            stands for; 0 when that stands for several, and for what failed on this side.
        where: the host's function that failed.
    """

    def __init__(
        self,
        message: str = "",
        *,
        id: str = "",
        detailed_error: str = "",
        status_code: int = 0,
        where: str = "",
    ) -> None:
        super().__init__(message or id)
        self.message = message
        self.id = id
        self.detailed_error = detailed_error
        self.status_code = status_code
        self.where = where


class NotFound(APIError):
    """404, NOT_FOUND."""


class PermissionDenied(APIError):
    """403, PERMISSION_DENIED."""


class AlreadyExists(APIError):
    """409, ALREADY_EXISTS."""


class InvalidArgument(APIError):
    """400, INVALID_ARGUMENT."""


class Unauthenticated(APIError):
    """401, UNAUTHENTICATED."""


class ResourceExhausted(APIError):
    """413 or 429, RESOURCE_EXHAUSTED; a request over the host's 4 MiB too."""


class Unimplemented(APIError):
    """501, UNIMPLEMENTED: this server does not have the call."""


class Unavailable(APIError):
    """503, UNAVAILABLE: the host did not answer.

    The host's API server cannot be reached or has no address, the deadline passed, or the plugin
    has stopped.
    """


class Internal(APIError):
    """Any other status."""
