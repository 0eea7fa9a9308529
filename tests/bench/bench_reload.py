"""Measure how long an edit takes until a running service goes by it: `python -m tests.bench.bench_reload [EDITS]`."""

from __future__ import annotations

import asyncio
import gc
import statistics
import sys
import tempfile
import time
from pathlib import Path

from publisher.app import App
from publisher.service import Listening, Service
from tests.publications import load_publication

STORM = 1000
"""Reloads asked for at once, and edits in a row."""
STORM_TAKES = 10.0
"""Seconds over which the edits are spread."""


async def measure(home: Path, edits: int) -> None:
    """Edit the schedule again and again, and print the times from writing the file to its effect."""
    async with await App.open(load_publication(home)) as app:
        told: asyncio.Future[Listening] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(Service(app).run(told.set_result))
        await told
        file, times = app.config.files[0], []
        text = file.read_text(encoding="utf-8")
        for number in range(edits):
            at = f"{8 + number % 12:02}:30"
            file.write_text(text.replace('at = "07:00"', f'at = "{at}"'), encoding="utf-8")
            started = time.perf_counter()
            while app.config.newsletters[0].frequencies["weekly"].at != at:  # noqa: ASYNC110 - that is what is measured
                await asyncio.sleep(0.002)
            times.append(time.perf_counter() - started)
        print(f"edit to effect: median {statistics.median(times):.3f} s, slowest {max(times):.3f} s of {edits}")
        before, started = resident(), time.perf_counter()
        for _ in range(10):
            await asyncio.gather(*(app.reloading.reload() for _ in range(STORM // 10)))
        spent = time.perf_counter() - started
        gc.collect()
        print(f"{STORM} reloads: {spent:.2f} s, memory {before} kB before and {resident()} kB after")
        before, handles, counted = resident(), files(), app.reloading.counted.total()
        started = time.perf_counter()
        for number in range(STORM):
            file.write_text(text.replace("The week", f"Week {number}"), encoding="utf-8")
            await asyncio.sleep(max(0.0, started + (number + 1) * STORM_TAKES / STORM - time.perf_counter()))
        spent, started = time.perf_counter() - started, time.perf_counter()
        while app.config.newsletters[0].title["en"] != f"Week {STORM - 1}":  # type: ignore[index]  # noqa: ASYNC110 - a title by language; the service is looked at from outside
            await asyncio.sleep(0.002)
        settled = time.perf_counter() - started
        gc.collect()
        print(
            f"{STORM} edits in {spent:.1f} s: {app.reloading.counted.total() - counted} reloads, "
            f"{settled:.2f} s from the last edit to its effect, "
            f"memory {before} kB before and {resident()} kB after, files {handles} and {files()}"
        )
        app.shared.stop.set()
        await task


def files() -> int:
    """Return how many files and sockets this process holds."""
    return len(list(Path("/proc/self/fd").iterdir()))


def resident() -> int:
    """Return the memory of this process in kB."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(Path(folder), int(sys.argv[1]) if len(sys.argv) > 1 else 10))
