"""Every way of the admin listener, and who may go it."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from publisher.accounts.values import Role
from publisher.config import Config
from publisher.config.values import is_loopback, split_listen
from publisher.web import Parts, preview
from publisher.web.admin.door import Door
from publisher.web.admin.events import Events
from publisher.web.admin.frame import Frame
from publisher.web.admin.issue import IssuePages
from publisher.web.admin.mailbox import Mailbox
from publisher.web.admin.numbers import Numbers
from publisher.web.admin.office import Office
from publisher.web.admin.overview import Overview
from publisher.web.admin.people import People
from publisher.web.admin.previews import PreviewPages
from publisher.web.admin.readers import ReaderPages
from publisher.web.admin.ways import Way
from publisher.web.answers import application_of, slashed
from publisher.web.chrome import icon
from publisher.web.health import Metrics, live, readiness
from publisher.web.security import LOOPBACK, Guard


def application(parts: Parts, office: Office) -> ASGIApp:
    """Build the admin listener's app: every way stands behind the door."""
    frame = Frame(parts, office)
    door = Door(frame)
    routes = [Route(way.path, door.guarded(way), methods=[way.method]) for way in ways(frame, door)]
    return Guard(application_of(routes, frame.missing), hosts=_hosts(parts.config))


def ways(frame: Frame, door: Door) -> list[Way]:
    """Return every route with the least role that may go it; None: open to whoever reaches the listener."""
    numbers = Numbers(frame.parts)
    return [
        *_open(frame, door),
        *_of_issues(frame, numbers),
        *_of_previews(frame),
        *_of_mailbox(frame),
        *_of_people(frame, door, people := People(frame)),
        *_of_readers(frame, people),
    ]


def _open(frame: Frame, door: Door) -> list[Way]:
    async def ready(request: Request) -> Response:
        return await readiness(frame.parts, reasons=True)

    return [
        Way("GET", "/login", None, door.login),
        Way("GET", "/login/{token}", None, door.link),
        Way("POST", "/login/{token}", None, door.enter),
        Way("GET", "/style.css", None, frame.stylesheet),
        Way("GET", "/icon.svg", None, icon),
        Way("GET", "/favicon.ico", None, icon),  # what a browser asks for by itself, beside a mail for example
        Way("GET", "/livez", None, live),
        Way("GET", "/readyz", None, ready),
        Way("GET", "/metrics", None, Metrics(frame.parts).answer),
    ]


def _of_issues(frame: Frame, numbers: Numbers) -> list[Way]:
    overview, pages, events = Overview(frame, numbers), IssuePages(frame, numbers), Events(frame, numbers)
    return [
        Way("GET", "/", Role.VIEWER, overview.overview),
        Way("GET", "/events", Role.VIEWER, events.overview),
        Way("GET", "/live.js", Role.VIEWER, events.script),
        Way("GET", "/issues", Role.VIEWER, slashed),
        Way("GET", "/issues/", Role.VIEWER, overview.issues),
        Way("GET", "/issues/{ref}", Role.VIEWER, pages.issue),
        Way("GET", "/issues/{ref}/events", Role.VIEWER, events.issue),
        Way("GET", "/issues/{ref}/segments/{id}", Role.VIEWER, pages.segment),
        Way("POST", "/issues/{ref}/approve", Role.EDITOR, pages.approve),
        Way("POST", "/issues/{ref}/pause", Role.EDITOR, pages.pause),
        Way("POST", "/issues/{ref}/resume", Role.EDITOR, pages.resume),
        Way("POST", "/issues/{ref}/cancel", Role.EDITOR, pages.cancel),
        Way("POST", "/issues/{ref}/uncertain", Role.EDITOR, pages.decide),
    ]


def _of_previews(frame: Frame) -> list[Way]:
    pages = PreviewPages(frame)
    return [
        Way("GET", "/preview", Role.VIEWER, slashed),
        Way("GET", "/preview/", Role.VIEWER, pages.previews),
        Way("GET", "/preview/{newsletter}", Role.VIEWER, pages.preview),
        Way("GET", "/preview/{newsletter}/mail", Role.VIEWER, pages.mail),
        Way("GET", "/preview/{newsletter}/state", Role.VIEWER, pages.state),
        Way("GET", "/preview.js", Role.VIEWER, preview.script),
    ]


def _of_mailbox(frame: Frame) -> list[Way]:
    pages = Mailbox(frame)
    return [
        Way("GET", "/inbox", Role.EDITOR, slashed),
        Way("GET", "/inbox/", Role.EDITOR, pages.inbox),
        Way("GET", "/inbox/{key}", Role.EDITOR, pages.message),
        Way("GET", "/inbox/{key}/{view}", Role.EDITOR, pages.message),
    ]


def _of_people(frame: Frame, door: Door, pages: People) -> list[Way]:
    return [
        Way("POST", "/logout", Role.VIEWER, door.leave),
        Way("POST", "/logout/everywhere", Role.VIEWER, door.leave_everywhere),
        Way("GET", "/fresh", Role.VIEWER, pages.fresh),
        Way("GET", "/accounts", Role.ADMIN, pages.accounts),
        Way("POST", "/accounts", Role.ADMIN, pages.invite),
        Way("POST", "/accounts/revoke", Role.ADMIN, pages.revoke),
        Way("GET", "/audit", Role.ADMIN, pages.audit),
    ]


def _of_readers(frame: Frame, people: People) -> list[Way]:
    pages = ReaderPages(frame, people)
    return [
        Way("GET", "/readers", Role.VIEWER, slashed),
        Way("GET", "/readers/", Role.VIEWER, pages.readers),
        Way("POST", "/readers/", Role.EDITOR, pages.search),
        Way("POST", "/export/readers", Role.ADMIN, pages.export),
        Way("GET", "/readers/{id}", Role.EDITOR, pages.reader),
        Way("POST", "/readers/{id}/suppress", Role.EDITOR, pages.suppress),
        Way("POST", "/readers/{id}/unsuppress", Role.EDITOR, pages.unsuppress),
    ]


def _hosts(config: Config) -> frozenset[str] | None:
    """Return the names that the listener answers to, None for any."""
    host, _ = split_listen(config.web.admin_listen)
    named = urlsplit(config.web.admin_url).hostname
    own = frozenset({f"[{named}]" if ":" in named else named}) if named else frozenset()
    # A page of another site can have its own name resolve to this machine, and read whatever answers to that name.
    if is_loopback(host):
        return LOOPBACK | {host} | own
    return LOOPBACK | {host} | own if own else None
