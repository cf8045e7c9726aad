# SPDX-License-Identifier: GPL-3.0-or-later
"""Delivery by mail: to a relay, by TLS only, whose certificate is verified (RFC 6409, RFC 8314)."""

from __future__ import annotations

import email.policy
import email.utils
import smtplib
import ssl
from collections.abc import Mapping
from email.message import EmailMessage
from typing import Any

from sallyport_alerts.outbox import Refused, Undelivered

PATIENCE_SECONDS = 30
CLOSING = 421
"""The relay ends the connection, whatever it was asked (RFC 5321, 3.8)."""


def compose(settings: Mapping[str, Any], content: Mapping[str, Any], name: str) -> EmailMessage:
    """Write a message as mail (RFC 5322).

    Args:
        settings: `from`, `to`.
        content: subject, body, made.
        name: its own name; a mail that is sent twice has the same Message-ID.
    """
    mail = EmailMessage(policy=email.policy.SMTP)
    mail["From"] = settings["from"]
    mail["To"] = ", ".join(settings["to"])
    mail["Subject"] = content["subject"][:200]
    mail["Date"] = email.utils.formatdate(content["made"])
    mail["Message-ID"] = f"<{name}@{settings['from'].partition('@')[2]}>"
    # RFC 3834: no automatic answer to it
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(content["body"])
    return mail


def _failure(codes: list[int], text: str) -> Undelivered:
    return Undelivered(text) if CLOSING in codes else Refused(text)


def sender(settings: Mapping[str, Any], password: str | None) -> Any:
    """Make what sends by a relay.

    Args:
        settings: relay, port, direct (TLS from the first byte, else STARTTLS), authority (file; empty for Debian's
            list), from, to, user (empty for none).
        password: that of the user.

    Returns:
        As `outbox.Send`.
    """

    def send(content: dict[str, Any], name: str) -> None:
        missing = [one for one in settings["to"] if one not in content["done"]]
        # whoever was refused may have been taken out of the settings
        if not missing:
            return
        try:
            made = compose(settings, content, name)
        except (TypeError, ValueError) as error:
            raise Refused(f"it cannot be written as a mail: {error}") from None
        try:
            context = ssl.create_default_context(cafile=settings["authority"] or None)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            where = (settings["relay"], settings["port"])
            with (
                smtplib.SMTP_SSL(*where, timeout=PATIENCE_SECONDS, context=context)
                if settings["direct"]
                else smtplib.SMTP(*where, timeout=PATIENCE_SECONDS)
            ) as relay:
                if not settings["direct"]:
                    relay.starttls(context=context)
                if settings["user"]:
                    relay.login(settings["user"], password or "")
                refused = relay.send_message(made, to_addrs=missing)
        except smtplib.SMTPRecipientsRefused as error:
            codes = [code for code, _text in error.recipients.values()]
            raise _failure(codes, f"the relay refuses {', '.join(sorted(error.recipients))}") from None
        except (smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as error:
            raise _failure([error.smtp_code], f"the relay refuses the mail: {error}") from None
        except UnicodeError as error:
            # the error's words show a part of the password
            raise Undelivered(f"user, password and addresses must be ASCII: {type(error).__name__}") from None
        except (OSError, smtplib.SMTPException) as error:
            raise Undelivered(f"{settings['relay']}: {error or type(error).__name__}") from None
        content["done"] += [one for one in missing if one not in refused]
        if refused:
            raise Refused(f"the relay refuses {', '.join(sorted(refused))}")

    return send
