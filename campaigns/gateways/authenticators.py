"""What authenticator apps and the tables of allauth are given: names that people know, and secrets sealed."""

from __future__ import annotations

from typing import Any

from allauth.mfa.adapter import DefaultMFAAdapter

from campaigns.gateways import sealing


class SealedSecrets(DefaultMFAAdapter):  # type: ignore[misc]  # allauth ships without types
    """Lets allauth keep its secrets sealed, and call an account by the name that one logs in with."""

    def get_totp_label(self, user: Any) -> str:
        """Return what an app calls the account."""
        name: str = user.get_username()
        return name

    def encrypt(self, text: str) -> str:
        """Return the secret as it is stored."""
        return sealing.seal(text)

    def decrypt(self, encrypted_text: str) -> str:
        """Return the secret as it is. Raises SealError where SECRET_KEY has changed since."""
        return sealing.unseal(encrypted_text)
