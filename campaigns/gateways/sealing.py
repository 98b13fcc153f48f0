"""Secrets that have to be read again, such as what webhooks are signed with: sealed with a key of SECRET_KEY.

Whoever gets hold of the database alone, or of a copy of it, can't read them. By Fernet (AES-128-CBC and HMAC-SHA256)
of the library cryptography; its key is derived by HKDF, so that it is of no use for anything else that is signed.
"""

from __future__ import annotations

import base64

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.utils.encoding import force_bytes


class SealError(Exception):
    """What was sealed can't be read any more; the message is one sentence for people."""


def seal(text: str) -> str:
    """Return a text as it may be stored."""
    return _fernet().encrypt(text.encode()).decode()


def unseal(sealed: str) -> str:
    """Return the text that was sealed. Raises SealError where SECRET_KEY has changed since."""
    try:
        return _fernet().decrypt(sealed).decode()
    except InvalidToken:
        raise SealError("It was sealed with another SECRET_KEY and can't be read; set it again.") from None


def _fernet() -> MultiFernet:
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return MultiFernet([Fernet(_derived(key)) for key in keys])


def _derived(key: str | bytes) -> bytes:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"campaigns.sealing.1").derive(force_bytes(key))
    return base64.urlsafe_b64encode(derived)
