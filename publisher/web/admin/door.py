"""The door of the admin pages: whoever asks is known, may do it, and means it; logging in and out."""

from __future__ import annotations

import asyncio
import hashlib

import structlog
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from publisher.accounts.values import Session
from publisher.errors import BusyError, StoreError
from publisher.web import forms
from publisher.web.admin import nonces
from publisher.web.admin.frame import Frame
from publisher.web.admin.ways import Handler, Visit, Way, known_visit, note_visit, visit_of
from publisher.web.chrome import PRIVATE
from publisher.web.polls import Clients

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Door:
    """Stands before every way."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.office = frame.office
        self._https = frame.config.web.admin_url.startswith("https:")
        # Cookies know no ports: two publications on one machine must not log each other out.
        name = f"publisher-{hashlib.sha256(str(frame.config.data_dir).encode()).hexdigest()[:8]}"
        self.cookie = f"__Host-{name}" if self._https else name
        self._clients = Clients(frame.config.web.trusted_proxies)
        self._noting: set[asyncio.Task[None]] = set()

    def guarded(self, way: Way) -> Handler:
        """Return the handler of a way behind this door."""

        async def serve(request: Request) -> Response:
            visit = await self._visit(request)
            if visit is not None:
                note_visit(request, visit)
            if way.role is None:
                return await way.handler(request)
            if visit is None:
                return self.ask(request)
            if not visit.role.may(way.role):
                text = f"This is for the role {way.role}; you are {visit.role}. Nothing was changed."
                return self.frame.notice_page(request, "Not allowed", text, status=403)
            if way.method == "POST" and (refused := await self._read(request, visit)) is not None:
                return refused
            return await way.handler(request)

        return serve

    async def _visit(self, request: Request) -> Visit | None:
        secret = request.cookies.get(self.cookie, "")
        session = await self.office.gate.session(secret)
        if session is None:
            return None
        if self.office.gate.is_to_note(session):
            # Not waited for: a page that is looked at need not wait for what is written.
            task = asyncio.create_task(self._note_use(session))
            self._noting.add(task)
            task.add_done_callback(self._noting.discard)
        return Visit(session, secret)

    async def _note_use(self, session: Session) -> None:
        try:
            await self.office.gate.note_use(session)
        except (StoreError, BusyError) as error:
            log.warning("use of a session not noted", reason=str(error))

    async def _read(self, request: Request, visit: Visit) -> Response | None:
        """Read a form that was sent; return why it is refused, None when it is one of ours."""
        form = await forms.read(request)
        once = nonces.once_of(visit.secret, request.url.path, form.one(nonces.FIELD))
        if once is None:
            text = "This form is not one of this login. Go back, reload the page, and try again. Nothing was changed."
            return self.frame.notice_page(request, "Not allowed", text, status=403)
        note_visit(request, Visit(visit.session, visit.secret, form, once))
        return None

    def ask(self, request: Request) -> Response:
        """Say how to log in, to somebody who is not."""
        return self.frame.show(request, "web/admin/login.html.j2", "Log in", status=401, token="")

    async def login(self, request: Request) -> Response:
        """Say how to log in; whoever is logged in goes on to the pages."""
        if visit_of(request) is not None:
            return RedirectResponse("/", 303, PRIVATE)
        return self.frame.show(request, "web/admin/login.html.j2", "Log in", token="")

    async def link(self, request: Request) -> Response:
        """Show the button that uses the link up: programs that look at links before people do must not (P5)."""
        token = request.path_params["token"]
        return self.frame.show(request, "web/admin/login.html.j2", "Log in", token=token)

    async def enter(self, request: Request) -> Response:
        """Use a link up: begin a session, whatever the browser brought along."""
        now, client = self.frame.parts.clock(), self._client(request)
        if wait := self.office.tries.wait(client, now):
            text = f"There were too many wrong links. Try again in {-(-wait // 60)} minutes."
            return self.frame.notice_page(request, "Please wait", text, status=429, headers={"Retry-After": str(wait)})
        entered = await self.office.gate.enter(request.path_params["token"])
        if entered is None:
            self.office.tries.failed(client, now)
            log.warning("a login failed")
            text = (
                "This link was used already, or its hour is over. "
                "Another one is a command away: publisher admin invite NAME"
            )
            return self.frame.notice_page(request, "This link is good no more", text, status=403)
        session, secret = entered
        log.info("logged in", account=session.account.name)
        answer = RedirectResponse("/", 303, PRIVATE)
        answer.set_cookie(self.cookie, secret, path="/", secure=self._https, httponly=True, samesite="lax")
        return answer

    async def leave(self, request: Request) -> Response:
        """End this session."""
        return await self._left(request, everywhere=False)

    async def leave_everywhere(self, request: Request) -> Response:
        """End every session of this account."""
        return await self._left(request, everywhere=True)

    async def _left(self, request: Request, *, everywhere: bool) -> Response:
        await self.office.gate.leave(known_visit(request).session, everywhere=everywhere)
        answer = RedirectResponse("/login", 303, PRIVATE)
        answer.delete_cookie(self.cookie, path="/", secure=self._https, httponly=True, samesite="lax")
        return answer

    def _client(self, request: Request) -> str:
        peer = request.client.host if request.client else ""
        forwarded = request.headers.get("x-forwarded-for", "").encode("latin-1", "replace")
        return self._clients.address(peer, forwarded) or "unknown"
