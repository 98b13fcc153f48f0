"""docs/api.md: what it shows is run, its Python as it stands and its curl by what curl would send."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from django.test import Client
from django.utils import timezone

from campaigns.api import problems
from campaigns.models import Scope
from campaigns.services import keys
from tests import factories
from tests.servers import REPOSITORY

GUIDE = (REPOSITORY / "docs/api.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)


def a_key() -> str:
    return keys.create_key(name="Guide", scopes=list(Scope), now=timezone.now())[1]


@pytest.mark.django_db(transaction=True)
def test_the_python_of_the_guide_runs_from_top_to_bottom(live_server: object, tmp_path: Path) -> None:
    script = tmp_path / "guide.py"
    script.write_text("\n".join(blocks("python")))
    environment = {**os.environ, "BASE": str(live_server), "KEY": a_key()}
    ran = subprocess.run(
        [sys.executable, script], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert "may spend up to 5.00" in ran.stdout


@pytest.mark.django_db
@pytest.mark.parametrize("command", blocks("bash"), ids=lambda command: re.findall(r"/v1/([\w/-]+)", command)[0])
def test_what_curl_would_send_is_answered(command: str) -> None:
    campaign, key = factories.campaign(now=timezone.now()), a_key()
    parts = shlex.split(command.replace("\\\n", " "))
    assert parts.pop(0) == "curl"
    method, url, body, headers = "GET", "", "", {}
    while parts:
        match parts.pop(0):
            case "-X":
                method = parts.pop(0)
            case "-d":
                body = parts.pop(0)
            case "-H":
                name, _, value = parts.pop(0).partition(": ")
                headers[name] = value.replace("$KEY", key)
            case address:
                url = address
    body = body.replace('"campaign_id": 1', f'"campaign_id": {campaign.pk}')
    path = url.removeprefix("$BASE").replace("/campaigns/1/", f"/campaigns/{campaign.pk}/")
    kind = headers.pop("Content-Type", "application/json")
    answer = Client(headers=headers).generic(method, path, body, content_type=kind)
    assert answer.status_code in {200, 201}, answer.content
    assert json.loads(answer.content)


@pytest.mark.parametrize("kind", problems.TITLES)
def test_every_problem_is_explained(kind: str) -> None:
    assert re.search(rf"^\| \d+ \| `{kind}` \|", GUIDE, re.MULTILINE)
