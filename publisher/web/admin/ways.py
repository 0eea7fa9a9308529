"""What a way into the admin pages is: method, path, and the least role that may go it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from starlette.requests import Request
from starlette.responses import Response

from publisher.accounts.values import Role, Session
from publisher.web.forms import Form

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Way:
    """One route. A way without a role cannot be written down: `role` None says in so many letters that it is open."""

    method: Literal["GET", "POST"]
    path: str
    role: Role | None
    handler: Handler


@dataclass(frozen=True, slots=True)
class Visit:
    """Who asks: the session and its secret; for a form that was sent, its fields and what tells it from every other."""

    session: Session
    secret: str
    form: Form | None = None
    once: str = ""

    @property
    def role(self) -> Role:
        """The role of the account."""
        return self.session.account.role

    @property
    def name(self) -> str:
        """The name of the account."""
        return self.session.account.name


_VISIT = "publisher.visit"


def note_visit(request: Request, visit: Visit) -> None:
    """Remember who asks while the request is answered."""
    request.scope[_VISIT] = visit


def visit_of(request: Request) -> Visit | None:
    """Return who asks, None when nobody is logged in."""
    visit: Visit | None = request.scope.get(_VISIT)
    return visit


def known_visit(request: Request) -> Visit:
    """Return who asks, on a way that asks for a role."""
    visit = visit_of(request)
    if visit is None:
        raise RuntimeError("a page for those who are logged in stands on an open way")
    return visit


def form_of(request: Request) -> Form:
    """Return the form of a post, which the door has read and found to be one of ours."""
    form = known_visit(request).form
    if form is None:
        raise RuntimeError("a form is asked for where none was sent")
    return form
