"""The plug is pulled at random on a disk that forgets what was not synced: a piece of the day of `tests.powercut`.

The whole day with its 1,000 cuts is ``python -m tests.powercut``.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.powercut import disk

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(bool(disk.why_not()), reason=f"no disk that forgets: {disk.why_not()}")


def commits_lost(tmp_path: Path, synchronous: str) -> int:
    """Rows that SQLite had committed before the cut and that are not there afterwards."""
    folder, mount = tmp_path / "disk", tmp_path / "mount"
    folder.mkdir()
    mount.mkdir()
    script = (
        "import os, sqlite3, sys\n"
        "db = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "db.execute('PRAGMA journal_mode = WAL')\n"
        f"db.execute('PRAGMA synchronous = {synchronous}')\n"
        "db.execute('CREATE TABLE t (n INTEGER)')\n"
        "for n in range(1, 10**9):\n"
        "    db.execute('INSERT INTO t VALUES (?)', (n,))\n"
        "    os.write(1, b'%d\\n' % n)\n"
    )
    program = (
        "import sys; from pathlib import Path; from tests.powercut.disk import Mounted\n"
        "disk = Mounted(Path(sys.argv[1]), Path(sys.argv[2])); print('up', flush=True); sys.stdin.readline()\n"
        "print(disk.cut(7), flush=True)"
    )
    arguments = [sys.executable, "-c", program, str(folder), str(mount)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as power:
        assert power.stdin is not None
        assert power.stdout is not None
        assert power.stdout.readline() == "up\n"
        with (tmp_path / "said").open("wb") as said:
            writer = subprocess.Popen([sys.executable, "-c", script, str(mount / "a.db")], stdout=said)
        until_s = time.monotonic() + 20
        while (tmp_path / "said").stat().st_size < 500 and time.monotonic() < until_s:
            time.sleep(0.02)
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        power.stdin.write("\n")
        power.stdin.flush()
        assert power.stdout.readline().startswith("Loss(")
    promised = int((tmp_path / "said").read_text().split()[-1])
    try:
        db = sqlite3.connect(folder / "a.db")
        kept = int(db.execute("SELECT count(*) FROM t").fetchone()[0])
        db.close()
    except sqlite3.DatabaseError:
        kept = 0
    return max(0, promised - kept)


def test_the_disk_forgets_what_was_not_synced_and_nothing_else(tmp_path: Path) -> None:
    for name in ("OFF", "FULL"):
        (tmp_path / name).mkdir()
    assert commits_lost(tmp_path / "OFF", "OFF") > 0
    assert commits_lost(tmp_path / "FULL", "FULL") == 0


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_twenty_four_cuts_lose_no_alarm_double_none_and_leave_no_evidence_that_does_not_prove_itself(
    tmp_path: Path,
) -> None:
    # A process of its own: it forks, and pytest may hold threads of other tests.
    command = [
        sys.executable,
        "-m",
        "tests.powercut",
        "--cuts",
        "24",
        "--hours",
        "0.58",
        "--keep",
        str(tmp_path / "day"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| alarms lost | 0 |" in done.stdout
    assert "| power cuts | 12 |" in done.stdout
