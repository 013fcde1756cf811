"""The configuration: YAML, ``${ENV}`` and ``*_file`` secrets in; frozen models, or every mistake at once, out.

::

    file ─ document ─▶ tree with line numbers ─ gather ─▶ one tree, complete ─ models ─▶ Config
                                 ▲                                                │
    variables, other files ── reading                       explain ◀─────────────┘ refusals, in plain words

Only ``reading`` and ``gather`` touch files.  What `load` returns needs no second look: names are unique, secrets are
read, paths are absolute, and each stream carries its own ``transform``.
"""

from fluent_plugin_amp.config.forward import ForwardConfig, SecurityConfig, ServerConfig
from fluent_plugin_amp.config.load import load
from fluent_plugin_amp.config.models import Config, DeadLettersConfig, LoggingConfig, ObserveConfig
from fluent_plugin_amp.config.schema import schema
from fluent_plugin_amp.config.section import TlsConfig
from fluent_plugin_amp.config.streams import StreamConfig
from fluent_plugin_amp.config.transform import FlattenConfig, TransformConfig

__all__ = [
    "Config",
    "DeadLettersConfig",
    "FlattenConfig",
    "ForwardConfig",
    "LoggingConfig",
    "ObserveConfig",
    "SecurityConfig",
    "ServerConfig",
    "StreamConfig",
    "TlsConfig",
    "TransformConfig",
    "load",
    "schema",
]
