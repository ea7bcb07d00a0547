"""Whether what serve proves by a token reaches the log as proved."""

from __future__ import annotations

from guardian.cli.doctor.finding import Finding, Level, ok
from guardian.kafka.settings import Settings


def examine_signing(settings: Settings) -> list[Finding]:
    """Look at the signing keys of the settings; nothing when there are neither tokens nor keys."""
    if settings.tokens and not settings.signing_current:
        text = (
            "serve has tokens and no signing key: decisions show everybody who gave a command as claimed, not as proved"
        )
        return [Finding("signing", Level.WARNING, text, "guardian signing new makes a key, and says what goes where")]
    if settings.signing_keys:
        return [ok("signing", f"{len(settings.signing_keys)} keys verify, {settings.signing_current or 'none'} signs")]
    return []
