"""`make audit`: whether an advisory is known for a dependency that is locked; and whether anybody could say.

pip-audit ends well also when it has asked nobody: it skips what the service does not know, such as an index that tells
no advisories. That must not read as "all is well", and where there is no network it must not break a build either. So
what was not audited is said in one line, which fails only with AUDIT=required.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

LOCKED = ("requirements.txt", "requirements-otel.txt")
SECONDS = 240


def audited(files: Sequence[str], *options: str, environment: Mapping[str, str]) -> tuple[str, bool | None]:
    """Return what is to be said, and whether all is well; None if nobody could tell."""
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes", "--format", "json", *options]
    command += ["--progress-spinner", "off", *(part for file in files for part in ("--requirement", file))]
    try:
        asked = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False)
        dependencies = json.loads(asked.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError, KeyError):
        return "Dependencies were NOT audited: no advisory service could be reached.", None
    return verdict(dependencies)


def verdict(dependencies: Sequence[Mapping[str, object]]) -> tuple[str, bool | None]:
    """Return what pip-audit's answer comes to."""
    bad = [one for one in dependencies if one.get("vulns")]
    if bad:
        return "\n".join(["Dependencies with known advisories:", *map(_line, bad)]), False
    skipped = sum("skip_reason" in one for one in dependencies)
    if skipped or not dependencies:
        number = f"{skipped} of {len(dependencies)} dependencies were NOT audited"
        return f"{number}: the advisory service that could be reached does not know them.", None
    return f"{len(dependencies)} dependencies were audited, and no advisory is known.", True


def _line(dependency: Mapping[str, object]) -> str:
    found = dependency["vulns"]
    assert isinstance(found, list)
    ids = ", ".join(str(one["id"]) for one in found)
    return f"  {dependency['name']} {dependency['version']}: {ids}"


def main(arguments: Sequence[str]) -> int:
    """Say it, and return the exit code."""
    root = Path(__file__).parent.parent
    said, well = audited([str(root / name) for name in LOCKED], *arguments, environment=os.environ)
    sys.stdout.write(said + "\n")
    if well is None and os.environ.get("AUDIT") == "required":
        sys.stdout.write("AUDIT=required, so this is an error. Run it where an advisory service can be reached.\n")
        return 1
    return 1 if well is False else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
