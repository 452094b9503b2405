"""What the README shows works."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_program_in_the_readme_prints_what_its_comments_say(tmp_path: Path) -> None:
    [program] = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    promised = re.findall(r"print\(.*\)  # (.*)", program)
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.stdout.splitlines()[: len(promised)] == promised, done.stderr
    assert "'Gentoo': 5076.0" in done.stdout


def test_every_link_of_the_documents_leads_to_a_file() -> None:
    for document in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")):
        targets = re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text("utf-8"))
        assert [target for target in targets if not (document.parent / target).exists()] == [], document
