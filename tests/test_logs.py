"""No log line names a reader or holds a token, whatever goes wrong (spec delivery §8)."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
import structlog
from hypothesis import example, given
from hypothesis import strategies as st

from publisher import cli
from publisher.logs import Mask
from tests.publications import write_publication
from tests.test_cli import Command

MASK = Mask(b"k" * 32)
ANNA = "canary.anna@reader-canary.example"


def test_an_address_becomes_the_same_mask_everywhere() -> None:
    """§8: enough to follow one reader through a log, not enough to know who it is."""
    masked = MASK.text(ANNA)
    assert masked.startswith("c***@r***#")
    assert len(masked) == len("c***@r***#12345678")
    assert MASK.text(f"550 <{ANNA.upper()}>: no") == f"550 <C***@R***#{masked[-8:]}>: no"
    assert Mask(b"j" * 32).text(ANNA) != masked


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("GET /u/AbCdEf123456/preferences", "GET /u/***/preferences"),
        ("https://a.example/c/AbCdEf123456", "https://a.example/c/***"),
        ("http://127.0.0.1:8001/login/AbCdEf123456", "http://127.0.0.1:8001/login/***"),
        ("token=AbCdEf", "token=***"),
        ("{'password': 'secret'}", "{'password': '***'}"),
        ("/feeds/all.atom", "/feeds/all.atom"),
        ("smtp: 250 ok", "smtp: 250 ok"),
    ],
)
def test_tokens_are_taken_out(text: str, wanted: str) -> None:
    assert MASK.text(text) == wanted


@given(st.text(max_size=300), st.emails())
@example(text="", address="'@A.AC")
@example(text="to='", address="o'brien/news=x@a.example")
def test_no_text_hides_an_address(text: str, address: str) -> None:
    """Whatever stands around it: the domain, at least, is gone."""
    assert address not in MASK.text(f"{text} {address} {text}")


@pytest.mark.parametrize(
    "text", ["a" * 1_000_000 + "@", "@" * 1_000_000, "a'" * 500_000 + "@x", ("a" * 70 + "@b ") * 10_000]
)
def test_a_hostile_text_costs_no_more_than_its_length(text: str) -> None:
    """What a server says stands in logs too; a masking that went over it again and again would never end."""
    assert "@b " not in MASK.text(text)


def test_collections_and_exceptions_are_masked_too() -> None:
    masked = MASK(None, "info", {"event": "x", "rows": [{ANNA: (1, ANNA.encode())}], "error": ValueError(ANNA)})
    assert ANNA not in str(masked)
    assert (masked["event"], masked["rows"][0][MASK.text(ANNA)][0]) == ("x", 1)


def test_the_logs_of_a_run_with_failures_name_nobody(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A canary address, through a command, an exception with a traceback, and other libraries' logs."""
    publisher = Command(write_publication(tmp_path), capsys, monkeypatch)
    monkeypatch.setenv("PUBLISHER_LOG", "debug")
    assert publisher("subscribers", "add", ANNA, "--consent", "paper form")[0] == 0
    code, _, err = publisher("collect")
    assert code == 0
    cli.configure_logs()
    try:
        int(ANNA)  # its message names the address
    except ValueError:
        structlog.get_logger().exception("delivery failed", to=ANNA, url="https://a.example/u/AbCdEf123456")
    logging.getLogger("elsewhere").warning("refused %s", ANNA)
    written = err + capsys.readouterr().err
    assert "canary" not in written
    assert "AbCdEf123456" not in written
    lines = [json.loads(line) for line in written.splitlines()]
    assert {"delivery failed", "refused c***@r***#"} <= {line["event"][:18].strip() for line in lines}
    assert any("Traceback" in line.get("exception", "") for line in lines)


CHILD = """
import asyncio, logging, sys, threading, warnings
from publisher import cli

ANNA = sys.argv[1]
cli.configure_logs()
cli.speak_for_python()
import uvicorn

uvicorn.Server(uvicorn.Config(lambda: None, log_config=None, access_log=False))
logging.getLogger("uvicorn.error").error("Exception in ASGI application for %s", ANNA)
warnings.warn(f"{ANNA} is deprecated")
thread = threading.Thread(target=lambda: int(ANNA))
thread.start()
thread.join()

class Left:
    def __del__(self):
        int(ANNA)

Left()

async def forgotten():
    asyncio.get_running_loop().create_task(fail())
    await asyncio.sleep(0)
    await asyncio.sleep(0)

async def fail():
    int(ANNA)

asyncio.run(forgotten())
cli.cli = lambda: int(ANNA)
cli.program()
"""


def test_what_python_says_by_itself_names_nobody_either() -> None:
    """§8: warnings, servers, threads, forgotten tasks, destructors, and what nobody caught is JSON, masked."""
    done = subprocess.run([sys.executable, "-c", CHILD, ANNA], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "canary" not in done.stderr
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    events = [line["event"].splitlines()[0] for line in lines]
    assert "is deprecated" in events[1]
    assert [event for event in events if "is deprecated" not in event] == [
        events[0],
        "thread failed",
        "failed unseen",
        "Task exception was never retrieved",
        "unexpected",
    ]
    assert [("Traceback" in line.get("exception", "")) for line in lines] == [False, False, True, True, True, True]
