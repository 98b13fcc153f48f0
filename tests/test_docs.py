"""The documents name what there is: every setting, reason, command and task."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from budget_management.environment import Environment
from campaigns.rules.reasons import Reason

ROOT = Path(__file__).parent.parent
COMMANDS = sorted(path.stem for path in (ROOT / "campaigns/management/commands").glob("[a-z]*.py"))
TASKS = re.findall(r'name="(campaigns\.tasks\.\w+)"', (ROOT / "campaigns/tasks.py").read_text())


@pytest.mark.parametrize("setting", Environment.model_fields)
def test_every_setting_is_explained(setting: str) -> None:
    assert f"| `{setting.upper()}` |" in (ROOT / "docs/operations.md").read_text()


@pytest.mark.parametrize("reason", [reason.code for reason in Reason])
def test_every_reason_is_explained(reason: str) -> None:
    assert f"| `{reason}` |" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_explained(command: str) -> None:
    assert re.search(rf"\| `{command}[ `]", (ROOT / "docs/operations.md").read_text())


@pytest.mark.parametrize("task", TASKS)
def test_every_task_is_explained(task: str) -> None:
    assert len(TASKS) == 9
    assert f"| `{task}` |" in (ROOT / "docs/operations.md").read_text()


@pytest.mark.parametrize("document", sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("docs/*.md")), ids=lambda p: p.name)
def test_every_link_between_documents_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
        assert (document.parent / target).exists(), f"{document.name} links to {target}, which is not there"
