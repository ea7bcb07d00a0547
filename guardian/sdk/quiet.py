"""What aiokafka logs on guardian's own threads is left out: guardian says once what is wrong, under `guardian.sdk`.

While a broker is away aiokafka logs every try of every client, as errors, several a second. The application's own use
of aiokafka is on other threads, and keeps its log.
"""

from __future__ import annotations

import logging
from typing import Final

from aiokafka.protocol.api import RequestStruct

FLAGS_THREAD: Final = "guardian-flags"
TELEMETRY_THREAD: Final = "guardian-telemetry"
_THREADS: Final = frozenset({FLAGS_THREAD, TELEMETRY_THREAD})
_SASL_AUTHENTICATE: Final = 36
"""The number of that request in Kafka's protocol."""
_log: Final = logging.getLogger("guardian.sdk")


class _NotOurThreads(logging.Filter):
    """Lets everything through but what guardian's threads say; with `guardian.sdk` at DEBUG, that too.

    Never what they send in order to say who they are: with PLAIN it is the password.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if record.threadName not in _THREADS:
            return True
        given = record.args if isinstance(record.args, tuple) else ()
        shows_password = any(isinstance(one, RequestStruct) and one.API_KEY == _SASL_AUTHENTICATE for one in given)
        return _log.isEnabledFor(logging.DEBUG) and not shows_password


_filter: Final = _NotOurThreads()


def quieten_aiokafka() -> None:
    """Leave out what aiokafka logs on guardian's threads; called again, it changes nothing."""
    # A logger's filter does not see what its children log: so each one gets it.
    for name in ["aiokafka", *list(logging.Logger.manager.loggerDict)]:
        if name.partition(".")[0] == "aiokafka":
            logging.getLogger(name).addFilter(_filter)


def said(error: BaseException) -> str:
    """Return an error in one line: its kind, and what it says; aiokafka's own say their kind themselves."""
    kind, text = type(error).__name__, str(error)
    if not text:
        return kind
    return text if text.startswith(f"{kind}:") else f"{kind}: {text}"
