"""The contact sheet: every panel of every dashboard with the demo's recording, in one picture.

``FOREWARN_SHEET=docs/images/dashboards.png`` keeps it. Whether it is beautiful is for eyes; here it
is held that every panel is on it and none is empty.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.dashboards.demo_history import History, boards, panels
from tests.dashboards.sheet import draw

WIDTH, HEIGHT = 2460, 3100


@pytest.mark.browser
def test_every_panel_is_drawn_and_none_is_empty(
    history: History, chromium: str, tmp_path: Path
) -> None:
    page = tmp_path / "sheet.html"
    text = draw(history)
    page.write_text(text)
    assert text.count('<div class="panel') == sum(len(panels(name)) for name in boards())
    assert 'class="panel empty' not in text
    picture = tmp_path / "sheet.png"
    command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", f"--screenshot={picture}"]
    command += [f"--window-size={WIDTH},{HEIGHT}", page.as_uri()]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 100_000, "drawn, not blank"
    if kept := os.environ.get("FOREWARN_SHEET"):
        Path(kept).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(picture, kept)
