"""The files that operators deploy with: what systemd, containers and Caddy make of them, as far as can be told here."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import uvicorn
import yaml

from publisher.cli.later import PLACES
from publisher.config import load
from publisher.config.environment import variables
from publisher.config.models import Config
from publisher.feeds import write
from publisher.web.feeds import FeedsApp
from tests.publications import CONFIGURATION, write_publication
from tests.test_nginx import ask
from tests.test_supervisor import Ears, serving

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "config" / "deploy"
UNITS = ("publisher.service", "publisher-worker@.service")
ANALYZE = shutil.which("systemd-analyze")
CADDY = shutil.which("caddy", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/bin") or ""
KNOWN = {*variables(Config), "PUBLISHER_CONFIG", "PUBLISHER_LOG"}
CREDENTIALS = re.compile(r"smtp\.password|database_url|transports\.[a-z0-9-]+\.password|(secret|erasure)\.key")


def directives(unit: str) -> list[tuple[str, str, str]]:
    """Section, name and value of each line, those that are commented out too."""
    found, section = [], ""
    for line in (DEPLOY / unit).read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif match := re.fullmatch(r"#?([A-Z][A-Za-z]+)=(.*)", line):
            found.append((section, match[1], match[2]))
    return found


def verified(tmp_path: Path, unit: str) -> str:
    """What systemd says of a unit, with the program where it is here and, for an old systemd, in its words."""
    text = (DEPLOY / unit).read_text(encoding="utf-8")
    assert "ExecStart=/opt/publisher/bin/publisher run\n" in text
    text = text.replace("/opt/publisher/bin/publisher", str(Path(sys.executable).with_name("publisher")))
    version = subprocess.run([ANALYZE or "", "--version"], check=True, capture_output=True, text=True).stdout
    if int(version.split()[1]) < 253:
        text = text.replace("Type=notify-reload", "Type=notify\nExecReload=kill -HUP $MAINPID")
    file = tmp_path / unit.replace("@", "@1")
    file.write_text(text, encoding="utf-8")
    done = subprocess.run([ANALYZE or "", "verify", "--man=no", str(file)], check=False, capture_output=True, text=True)
    return done.stderr + done.stdout


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("unit", UNITS)
def test_systemd_understands_every_line_of_a_unit(tmp_path: Path, unit: str) -> None:
    """Also that a mistake would be told: one is made here."""
    told = [line for line in verified(tmp_path, unit).splitlines() if str(tmp_path) in line or unit[:9] in line]
    assert told == []
    wrong = tmp_path / "wrong.service"
    wrong.write_text((DEPLOY / unit).read_text().replace("NoNewPrivileges", "NoNewPriviliges"))
    done = subprocess.run([ANALYZE or "", "verify", str(wrong)], check=False, capture_output=True, text=True)
    assert "NoNewPriviliges" in done.stderr


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_is_hardened(unit: str) -> None:
    """Exposure by systemd's own measure, 0 (none) to 10."""
    command = [ANALYZE or "", "security", "--offline=true", "--threshold=20", str(DEPLOY / unit)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-200:]


def test_both_units_are_hardened_alike_and_start_what_exists() -> None:
    """What differs is the data directory, the ports, and the keys."""
    own = {"Environment", "LoadCredential", "ExecStartPre", "StateDirectory", "Description"}
    first, worker = ([line for line in directives(unit) if line[1] not in own] for unit in UNITS)
    assert [line for line in first if line not in worker] == []
    assert [line for line in worker if line not in first] == []
    for unit in UNITS:
        lines = directives(unit)
        assert ("Service", "Type", "notify-reload") in lines
        [command] = [shlex.split(value) for _, name, value in lines if name == "ExecStart"]
        assert command[1] in PLACES
        assert [value for _, name, value in lines if name == "RestartPreventExitStatus"] == ["2 3 4"]
        for _, name, value in lines:
            if name == "LoadCredential":
                credential, _, path = value.partition(":")
                assert CREDENTIALS.fullmatch(credential), credential
                assert path == f"/etc/publisher/credentials/{credential}"


def test_every_variable_in_the_files_is_one_that_the_program_reads(tmp_path: Path) -> None:
    """A misspelt one would be ignored, or stop the start; those that are given load."""
    given = {
        "publisher.service": [v.partition("=")[0] for _, n, v in directives(UNITS[0]) if n == "Environment"],
        "publisher-worker@.service": [v.partition("=")[0] for _, n, v in directives(UNITS[1]) if n == "Environment"],
        "Containerfile": re.findall(r"\b(PUBLISHER_[A-Z_]+)=", (DEPLOY / "Containerfile").read_text()),
        "compose.yaml": list(compose()["services"]["publisher"]["environment"]),
    }
    assert all(given.values())
    assert {name for names in given.values() for name in names} - KNOWN == set()
    environment = container()[1]["ENV"] | compose()["services"]["publisher"]["environment"]
    environment = {name: text.replace("${DATABASE_PASSWORD:?}", "secret") for name, text in environment.items()}
    environment["PUBLISHER_DATA_DIR"] = str(tmp_path)
    config = load(write_publication(tmp_path), {name: text for name, text in environment.items() if name in KNOWN})
    assert config.database_url == "postgresql://publisher:secret@database/publisher"
    assert (config.web.listen, config.web.admin_listen) == ("0.0.0.0:8000", "0.0.0.0:8001")


# What the unit forbids


def allowed() -> set[str]:
    """The system calls that the unit's filter lets through, by this machine's own lists."""
    done = subprocess.run([ANALYZE or "", "syscall-filter"], check=True, capture_output=True, text=True)
    groups: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        if line.startswith("@"):
            name = line.strip()
            groups[name] = []
        elif line.startswith("    ") and not line.strip().startswith("#"):
            groups[name].append(line.strip())

    def of(group: str) -> set[str]:
        return {call for item in groups[group] for call in (of(item) if item.startswith("@") else {item})}

    filters = [value for _, name, value in directives(UNITS[0]) if name == "SystemCallFilter"]
    assert filters == ["@system-service", "~@privileged @resources"]
    return of("@system-service") - of("@privileged") - of("@resources")


@pytest.mark.skipif(ANALYZE is None or not shutil.which("strace"), reason="systemd-analyze or strace is not installed")
def test_the_service_makes_no_system_call_that_the_unit_forbids(tmp_path: Path) -> None:
    """Start, collecting, building feeds, a mail into the inbox, a request, reload and stop, seen by strace."""
    ears, trace = Ears(str(tmp_path / "notify")), tmp_path / "trace"
    file = write_publication(tmp_path)
    publisher = [sys.executable, "-m", "publisher", "--config", str(file)]
    added = [*publisher, "subscribers", "add", "anna@reader.example", "--consent", "paper form"]
    for command in (added, [*publisher, "collect"], [*publisher, "dispatch", "weekly"]):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    command = ["strace", "-f", "-qq", "-o", str(trace), *publisher, "run"]
    with subprocess.Popen(command, env=os.environ | {"NOTIFY_SOCKET": ears.name}, stderr=subprocess.DEVNULL) as process:
        assert ears.next() == "READY=1"
        pid = int((tmp_path / "data" / "lock").read_text())
        os.kill(pid, signal.SIGHUP)
        assert ears.next().startswith("RELOADING=1")
        assert ears.next() == "READY=1"
        os.kill(pid, signal.SIGTERM)
        assert process.wait(120) == 0
    ears.close()
    used = set(re.findall(r"^\d+ +([a-z0-9_]+)\(", trace.read_text(errors="replace"), re.MULTILINE))
    assert {"sendto", "fdatasync", "accept4"} & used
    if os.geteuid() == 0:
        used -= {"fchown"}  # SQLite's, when root opens a file of somebody else
    assert used - allowed() == set()


def test_nothing_needs_memory_that_is_written_and_run(tmp_path: Path) -> None:
    """MemoryDenyWriteExecute: the whole flow with all its libraries, under the kernel's own refusal (PR_SET_MDWE)."""
    libc = ctypes.CDLL(None, use_errno=True)
    probe = "import ctypes, sys; sys.exit(ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) != 0)"
    if subprocess.run([sys.executable, "-c", probe], check=False).returncode:
        pytest.skip("this kernel is older than 6.3")
    command = [sys.executable, "-m", "publisher", "demo", "--once", "--dir", str(tmp_path)]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, preexec_fn=lambda: libc.prctl(65, 1, 0, 0, 0)
    )
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "inbox" / "new").iterdir())) > 0


# Containers


def container() -> tuple[list[tuple[str, str]], dict[str, Any]]:
    """The instructions of the Containerfile, and what its last stage comes to."""
    text = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
    text = "\n".join(line for line in text.splitlines() if not line.startswith("#")).replace("\\\n", " ")
    found: list[tuple[str, str]] = []
    for line in text.splitlines():
        if line.strip():
            name, _, rest = line.strip().partition(" ")
            found.append((name, rest.strip()))
    last = max(index for index, (name, _) in enumerate(found) if name == "FROM")
    final: dict[str, Any] = {"ENV": {}}
    for name, rest in found[last:]:
        if name == "ENV":
            final["ENV"] |= dict(pair.split("=", 1) for pair in shlex.split(rest))
        else:
            final[name] = rest
    return found, final


def compose() -> dict[str, Any]:
    """The compose file, as YAML has it."""
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    return found


def test_the_containerfile_copies_what_exists_and_runs_what_exists() -> None:
    """No container engine is needed to see that each source, stage and command is there."""
    instructions, final = container()
    known = {"FROM", "COPY", "ENV", "WORKDIR", "RUN", "USER", "VOLUME", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK"}
    assert {name for name, _ in instructions} == known | {"ENTRYPOINT", "CMD"}
    stages = {rest.partition(" AS ")[2] for name, rest in instructions if name == "FROM"} - {""}
    for name, rest in instructions:
        words = rest.split()
        if name == "FROM":
            assert re.fullmatch(r"docker\.io/library/python:3\.\d+-slim-[a-z]+", words[0])
        elif name == "COPY" and words[0].startswith("--from="):
            origin = words[0].removeprefix("--from=")
            assert origin in stages or re.fullmatch(r"ghcr\.io/astral-sh/uv:\d+\.\d+\.\d+", origin)
        elif name == "COPY":
            assert [source for source in words[:-1] if not (ROOT / source).exists()] == []
    wanted = {"README.md", "LICENSE", "publisher", "templates", "config", "pyproject.toml", "uv.lock"}
    assert {word for name, rest in instructions if name == "COPY" for word in rest.split()[:-1]} >= wanted
    assert json.loads(final["ENTRYPOINT"]) == ["publisher"]
    assert json.loads(final["CMD"])[0] in PLACES
    assert final["USER"] not in ("", "root", "0")
    assert final["STOPSIGNAL"] == "SIGTERM"


def test_the_image_installs_the_locked_libraries_with_those_of_postgresql(tmp_path: Path) -> None:
    """The very `uv sync` of the Containerfile, as far as it goes without installing."""
    syncs = [rest for name, rest in container()[0] if name == "RUN" and rest.startswith("uv sync")]
    assert len(syncs) == 2
    for line in syncs:
        done = subprocess.run(
            [*shlex.split(line), "--dry-run", "--offline"],
            cwd=ROOT,
            env=os.environ | {"UV_PROJECT_ENVIRONMENT": str(tmp_path / "venv")},
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert re.search(r"^ \+ psycopg==", done.stderr, re.MULTILINE), done.stderr
        assert not re.search(r"^ \+ pytest==", done.stderr, re.MULTILINE)
        assert bool(re.search(r"^ \+ publisher\b", done.stderr, re.MULTILINE)) == ("--no-install-project" not in line)


def test_the_health_check_of_the_image_tells_life_from_death(tmp_path: Path) -> None:
    """The same command, against a real service and against nobody."""
    command = json.loads(container()[1]["HEALTHCHECK"].partition("CMD ")[2])
    assert command[0] == "python"
    ears = Ears(str(tmp_path / "notify"))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    text = CONFIGURATION.replace('listen = "127.0.0.1:0"\nadmin', f'listen = "127.0.0.1:{port}"\nadmin')
    check = [sys.executable, "-c", command[2].replace(":8000/", f":{port}/")]
    assert check[2] != command[2]
    with serving(write_publication(tmp_path, configuration=text), ears) as process:
        assert ears.next() == "READY=1"
        assert subprocess.run(check, check=False).returncode == 0
        process.kill()
        process.wait()
        assert subprocess.run(check, check=False, stderr=subprocess.DEVNULL).returncode != 0
    ears.close()


def test_the_services_of_compose_fit_together() -> None:
    """Each name that is used is defined; the admin port is this machine's alone; workers have the first one's keys."""
    found = compose()
    services, image = found["services"], container()[1]
    for name, service in services.items():
        assert set(service.get("depends_on", {})) <= set(services), name
        for mount in service["volumes"]:
            source, target = re.fullmatch(
                r"(\$\{PUBLICATION:-\./publication\}|[a-z]+):(/[^:]*)(?::ro)?", mount
            ).groups()  # type: ignore[union-attr]  # must match
            assert source in found["volumes"] or source.startswith("${PUBLICATION"), mount
            assert target.startswith("/")
    first, worker = services["publisher"], services["worker"]
    assert (DEPLOY / first["build"]["context"] / first["build"]["dockerfile"]).resolve() == DEPLOY / "Containerfile"
    password = services["database"]["environment"]["POSTGRES_PASSWORD"]
    assert first["environment"]["PUBLISHER_DATABASE_URL"] == f"postgresql://publisher:{password}@database/publisher"
    assert [port for port in first["ports"] if port.endswith(":8001")] == ["127.0.0.1:8001:8001"]
    assert f"{image['VOLUME']}" in first["volumes"][1]
    assert image["ENV"]["PUBLISHER_DATA_DIR"] == image["VOLUME"]
    assert image["ENV"]["PUBLISHER_CONFIG"].startswith("/publication/")
    script = worker["entrypoint"][2]
    assert script.endswith("exec publisher run")
    assert "data:/keys:ro" in worker["volumes"]
    assert all(f"/keys/{key}" in script for key in ("secret.key", "erasure.key"))
    assert re.fullmatch(r"\d+s", first["stop_grace_period"])
    assert int(first["stop_grace_period"][:-1]) > 30  # what open mails may take
    assert (
        services["database"]["environment"]["POSTGRES_USER"]
        in found["services"]["database"]["healthcheck"]["test"][1 + 1]
    )


# Caddy


@pytest.fixture(scope="module")
def caddy_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where Caddy keeps what it would keep of certificates."""
    return tmp_path_factory.mktemp("caddy")


@contextlib.contextmanager
def caddy(folder: Path, home: Path, service: int) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run Caddy with the given file, the places marked CHANGE changed, without TLS and administration."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    text = (DEPLOY / "Caddyfile").read_text(encoding="utf-8")
    for old, new, times in (
        ("news.example {", f"http://news.example:{port} {{", 1),
        ("reverse_proxy 127.0.0.1:8000", f"reverse_proxy 127.0.0.1:{service}", 1),
        ("/var/lib/publisher/site", str(folder / "site"), 2),
    ):
        assert text.count(old) == times, old
        text = text.replace(old, new)
    file = folder / "Caddyfile"
    file.write_text(f"{{\n\tadmin off\n\tauto_https off\n}}\n{text}", encoding="utf-8")
    environment = os.environ | {"HOME": str(home), "XDG_DATA_HOME": str(home), "XDG_CONFIG_HOME": str(home)}
    command = [CADDY, "run", "--adapter", "caddyfile", "--config", str(file)]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        yield process, port
    finally:
        process.terminate()
        process.wait()


needs_caddy = pytest.mark.skipif(
    not CADDY and not os.environ.get("CI"), reason="caddy is not installed (Debian: caddy)"
)


@needs_caddy
def test_caddy_finds_its_file_valid_and_well_formatted(caddy_home: Path) -> None:
    file, environment = str(DEPLOY / "Caddyfile"), os.environ | {"HOME": str(caddy_home)}
    command = [CADDY, "validate", "--adapter", "caddyfile", "--config", file]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert '"level":"warn"' not in done.stderr
    formatted = subprocess.run([CADDY, "fmt", file], check=False, capture_output=True, text=True).stdout
    assert formatted == Path(file).read_text(encoding="utf-8")


@contextlib.asynccontextmanager
async def feeds_service(folder: Path) -> AsyncIterator[tuple[int, uvicorn.Server, asyncio.Task[None]]]:
    """Serve feeds from a folder, as the service does."""
    moment = datetime(2026, 11, 23, 7, tzinfo=UTC)

    async def page(scope: Any, receive: Any, send: Any) -> None:
        length = (b"content-length", b"6")
        forwarded = dict(scope["headers"]).get(b"x-forwarded-for", b"")
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-page", forwarded), length]})
        await send({"type": "http.response.body", "body": b"a page"})

    app = FeedsApp(page, folder / "site" / "feeds", lambda: moment)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(app, log_config=None, lifespan="off", proxy_headers=False, server_header=False)
    )
    task = asyncio.create_task(server.serve([listener]))
    try:
        yield listener.getsockname()[1], server, task
    finally:
        server.should_exit = True
        await task


@needs_caddy
@pytest.mark.anyio
async def test_caddy_passes_all_on_and_serves_feeds_while_nobody_answers(tmp_path: Path, caddy_home: Path) -> None:
    """Up: the service's own answers, packed as it packed them, with the reader's address. Down: feeds from the disk."""
    body = b"<?xml version='1.0'?><rss/>" * 40
    write.write(tmp_path / "site" / "feeds" / "all.rss", body, datetime(2026, 11, 23, 7, tzinfo=UTC))
    async with feeds_service(tmp_path) as (service, server, serving_task):
        with caddy(tmp_path, caddy_home, service) as (process, port):
            for _ in range(500):
                with contextlib.suppress(OSError):
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                assert process.poll() is None
                await asyncio.sleep(0.02)
            for lines in ((), ("Accept-Encoding: br",), ("Accept-Encoding: gzip;q=0.5, zstd",)):
                direct, through = (
                    await ask(service, "/feeds/all.rss", *lines),
                    await ask(port, "/feeds/all.rss", *lines),
                )
                assert (through.status, through.body) == (direct.status, direct.body) == (b"200", direct.body)
                for name in (
                    b"content-type",
                    b"content-encoding",
                    b"etag",
                    b"cache-control",
                    b"last-modified",
                    b"vary",
                ):
                    assert through.headers.get(name) == direct.headers.get(name), name
            tag = direct.headers[b"etag"].decode()
            assert (await ask(port, "/feeds/all.rss", f"If-None-Match: {tag}")).status == b"304"
            assert (await ask(port, "/feeds/none.rss")).status == b"404"
            page = await ask(port, "/anything", "X-Forwarded-For: 198.51.100.7")
            assert (page.body, page.headers[b"x-page"]) == (b"a page", b"127.0.0.1")

            server.should_exit = True
            await serving_task
            plain = await ask(port, "/feeds/all.rss")
            assert (plain.status, plain.body) == (b"200", body)
            assert plain.headers[b"content-type"] == direct.headers[b"content-type"]
            assert plain.headers[b"cache-control"] == direct.headers[b"cache-control"]
            packed = await ask(port, "/feeds/all.rss", "Accept-Encoding: br")
            assert (packed.status, packed.headers[b"content-encoding"]) == (b"200", b"br")
            for target in ("/anything", "/feeds/none.rss", "/feeds/..%2f..%2fsecret.key", "/"):
                down = await ask(port, target)
                assert (down.status, down.headers[b"retry-after"]) == (b"503", b"60"), target
