"""Addresses of messengers: none may name a file of the server, whose text would go out or be used as a key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from campaigns.gateways import messengers
from tests.gateways.receivers import answering, receiving
from tests.gateways.test_webhooks import certified as certified  # noqa: PLC0414 - the fixture, under its own name

OF_FILES = [
    "workflow://example.com/643a8b03cc3c4b9d/signature?template={file}",
    "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ?template={file}",
    "discord://111111111111111111/abcdefghijklmnopqrstuvwxyz?template={file}",
    "tgram://123456789:abcdefghijklmnopqrstuvwxyzabcdefghi/1234?template={file}",
    "fcm://project/device?keyfile={file}",
    "vapid://somebody@example.com?subfile={file}",
    "vapid://somebody@example.com?x=1;keyfile={file}",
    "mailto://user:password@example.com?pgp=yes&pgpkey={file}",
    "mailto://user:password@example.com?pgp=yes&pgpprv={file}",
]


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    path = tmp_path / "secret.json"
    path.write_text(json.dumps({"type": "message", "attachments": [{"contentType": "text"}], "password": "1234"}))
    return path


@pytest.mark.parametrize("url", OF_FILES)
def test_an_address_that_names_a_file_of_the_server_is_refused(url: str, secret_file: Path) -> None:
    with pytest.raises(messengers.MessengerError, match="files of the server"):
        messengers.check(url.format(file=secret_file))


@pytest.mark.parametrize("url", [one.partition("?")[0] for one in OF_FILES[:4]])
def test_without_the_file_it_is_taken(url: str) -> None:
    assert "…" in messengers.check(url)


def test_no_text_of_a_file_goes_out(secret_file: Path, certified: Any, settings: Any) -> None:
    settings.WEBHOOKS_ALLOW_PRIVATE = True
    context, _ = certified("127.0.0.1")
    with receiving(answering(), context=context) as receiver:
        address = f"workflow://127.0.0.1:{receiver.port}/643a8b03cc3c4b9d/signature?verify=no"
        assert messengers.send(address, title="A title", body="A text") == ""
        assert b"A text" in receiver.wait_for(1)[0].body
        assert messengers.send(f"{address}&template={secret_file}", title="A title", body="A text") != ""
    assert len(receiver.requests) == 1
