"""E-mail out, by Django: to whom, and over the server that the operator has set."""

from __future__ import annotations

import smtplib
import socket
import ssl

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import BadHeaderError, EmailMessage, get_connection
from django.core.validators import validate_email

MAX_ADDRESSES = 20

MAX_SUBJECT = 150


class MailError(Exception):
    """Addresses that no mail can go to; the message is one sentence for people."""


def check(text: str) -> list[str]:
    """Return the addresses that a text names, separated by commas or spaces. Raises MailError."""
    if not settings.EMAIL_HOST:
        raise MailError("This installation has no mail server yet: have its operator set EMAIL_HOST.")
    found = list(dict.fromkeys(text.replace(",", " ").replace(";", " ").split()))
    if not found or len(found) > MAX_ADDRESSES:
        raise MailError(f"Give 1 to {MAX_ADDRESSES} addresses, separated by commas.")
    for address in found:
        try:
            validate_email(address)
        except ValidationError:
            raise MailError(f"{address} is no e-mail address.") from None
    return found


def send(text: str, *, subject: str, body: str) -> str:
    """Send a mail; return why that failed in words, or nothing. The server is the operator's and not looked at."""
    try:
        to = check(text)
        connection = get_connection("django.core.mail.backends.smtp.EmailBackend")
        EmailMessage(_line(subject), body, to=to, connection=connection).send()
    except MailError as error:
        return str(error)
    except smtplib.SMTPAuthenticationError:
        return "The mail server refused our name or password; look at EMAIL_USER and EMAIL_PASSWORD."
    except smtplib.SMTPRecipientsRefused as error:
        return f"The mail server refused the addresses: {', '.join(error.recipients)}."
    except smtplib.SMTPResponseException as error:
        return f"The mail server answered {error.smtp_code}."
    except TimeoutError:
        return f"The mail server did not answer within {settings.EMAIL_TIMEOUT} s."
    except (smtplib.SMTPException, ssl.SSLError, socket.gaierror, OSError, BadHeaderError):
        return "The mail server could not be reached, or closed the connection; look at EMAIL_HOST and EMAIL_PORT."
    return ""


def _line(subject: str) -> str:
    line = " ".join(subject.split())
    return line if len(line) <= MAX_SUBJECT else f"{line[: MAX_SUBJECT - 1]}…"
