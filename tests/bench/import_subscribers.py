"""Measure the import of many subscribers, and of the same file again: rows a second, and memory of all processes.

    uv run python tests/bench/import_subscribers.py [--rows 1000000] [--service]

By default the command does it alone; with --service it goes through a running service's control socket, and the largest
resident size of command and service together is shown. Each import is a process of its own. The directory is a
temporary one, on the disk that TMPDIR names.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.publications import write_publication

FIRST = ("Anna", "Борис", "Chloé", "Дарья", "Émile", "Fatima", "Georg", "Ольга", "Jürgen", "Kenji")
LAST = ("Lindqvist", "Ковалёв", "O'Neil", "Müller", "Смирнова", "García", "Nguyễn", "Brown, Jr.", "Савич", "Ito")


def main() -> None:
    """Write the file, import it twice, look at the export."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--rows", type=int, default=1_000_000)
    arguments.add_argument("--service", action="store_true")
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        configuration = write_publication(home)
        file = home / "readers.csv"
        write(file, chosen.rows)
        print(f"{chosen.rows:,} rows, {file.stat().st_size / 1e6:.0f} MB", flush=True)
        command = [sys.executable, "-m", "publisher", "--config", str(configuration)]
        with service(command, home) if chosen.service else contextlib.nullcontext(None) as running:
            others = [running.pid] if running else []
            for label, words in (
                ("import", ["subscribers", "import", str(file)]),
                ("the same again", ["subscribers", "import", str(file)]),
                ("export", ["subscribers", "export", "--out", str(home / "export.csv")]),
                ("dry run", ["subscribers", "import", str(file), "--dry-run"]),
            ):
                seconds, peak = measured([*command, *words], others)
                print(f"{label}: {seconds:.1f} s, {chosen.rows / seconds:,.0f} rows/s, peak {peak:.0f} MiB", flush=True)


def write(file: Path, rows: int) -> None:
    """Write a table of made-up readers, the same every time."""
    dice = random.Random(7)
    with file.open("w", encoding="utf-8", newline="") as out:
        table = csv.writer(out)
        table.writerow(("email", "name", "languages", "categories", "consent"))
        for number in range(rows):
            name = f"{dice.choice(FIRST)} {dice.choice(LAST)}"
            address = f"reader{number}.{dice.randrange(10_000)}@mail{number % 50}.example"
            table.writerow((address, name, dice.choice(("", "en", "ru en")), "economy", f"form {number % 1000}"))


def measured(command: list[str], others: list[int]) -> tuple[float, float]:
    """Run a command that must succeed; return its seconds, and the largest size of it and the others, in MiB."""
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, sum(resident(pid) for pid in (process.pid, *others)))
        time.sleep(0.02)
    assert process.returncode == 0, command
    return time.perf_counter() - begin, peak


def resident(pid: int) -> float:
    """Return what a process holds in memory now, in MiB; 0 when it has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    return 0.0


@contextlib.contextmanager
def service(command: list[str], home: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run the service until the block ends."""
    process = subprocess.Popen([*command, "run"], stderr=subprocess.DEVNULL)
    try:
        while not (home / "data" / "control.sock").exists():
            time.sleep(0.1)
        yield process
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main()
