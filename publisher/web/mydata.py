"""My data: everything held about a person to read and to take along, and forgetting it; by a fresh link only (F18)."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from publisher.subscriptions.values import FieldProblem
from publisher.web import forms
from publisher.web.chrome import PRIVATE
from publisher.web.personal import Personal, Step
from publisher.web.values import Words

FILE = "my-data.json"


class MyDataPages(Personal):
    """What is known of a person."""

    async def data(self, request: Request) -> Response:
        """Show it."""
        words = self.words(request)
        found = await self.desk.my_data(request.path_params["token"])
        return self.unknown_link(request, words) if found is None else self._page(request, words, found)

    async def file(self, request: Request) -> Response:
        """Give it as a file."""
        found = await self.desk.my_data(request.path_params["token"])
        if found is None:
            return self.unknown_link(request, self.words(request))
        headers = PRIVATE | {"Content-Disposition": f'attachment; filename="{FILE}"'}
        return Response(_json(found), media_type="application/json", headers=headers)

    async def erase(self, request: Request) -> Response:
        """Forget the person; the box must be ticked, for nothing brings it back."""
        words = self.words(request)
        form = await forms.read(request)
        token = request.path_params["token"]
        found = await self.desk.my_data(token)
        if found is None:
            return self.unknown_link(request, words)
        if form.one("sure") != "1":
            return self._page(request, words, found, problems=(FieldProblem("erase", "missing"),))
        if not await self.desk.erase(token):
            return self.unknown_link(request, words)
        _ = self.gettext(words)
        step = Step(
            heading=_("You are forgotten"),
            paragraphs=(
                _("Everything that we held about you is erased, and no mail comes to you any more."),
                _("A number that cannot be turned back into your address is kept, so that no list brings you back."),
            ),
        )
        return self.step(request, words, step)

    def _page(
        self, request: Request, words: Words, found: dict[str, Any], problems: tuple[FieldProblem, ...] = ()
    ) -> Response:
        _ = self.gettext(words)
        token = request.path_params["token"]
        return self.personal(
            request,
            words,
            "web/mydata.html.j2",
            _("My data"),
            status=422 if problems else 200,
            data=_json(found),
            file_url=f"/m/{token}/data.json",
            file_name=FILE,
            action=f"/m/{token}/erase?lang={words.language}",
            back=f"/m/{token}?lang={words.language}",
            problems=self.problems(words, problems),
        )


def _json(found: dict[str, Any]) -> str:
    return json.dumps(found, ensure_ascii=False, indent=2)
