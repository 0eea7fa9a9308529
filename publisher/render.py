"""Templates become text: sandboxed Jinja2, translated by gettext catalogues, CSS inlined for mail."""

from __future__ import annotations

import gettext
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import css_inline
import jinja2
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from publisher import dates, text
from publisher.config import Config, Newsletter
from publisher.errors import RenderError
from publisher.files import packaged

BUILTIN = "builtin"
"""Prefix by which an overriding template names the packaged one: `{% extends "builtin/mail/digest.html.j2" %}`."""

# What a template can raise: its own errors, and those of an expression over the values it was given.
_FAILURES = (jinja2.TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError)
_ESCAPED = (".html.j2", ".xml.j2", ".html", ".xml")


class Renderer:
    """Templates of one configuration: the operator's own compiled and translated before the first is needed.

    `folders` are searched in order, the packaged templates after them. Raises RenderError naming file and line.
    """

    def __init__(self, folders: Sequence[Path] = ()) -> None:
        home = packaged("templates")
        for folder in folders:
            if not folder.is_dir():
                raise RenderError(f"{folder}: there is no such folder of templates")
        places = (*folders, home)
        self._places = _catalogues(places)
        self._catalogues: dict[str, gettext.NullTranslations] = {}
        self._environment = self._make_environment(places, home)
        self._sources: dict[str, jinja2.Template] = {}  # templates given as strings, compiled once
        # An operator's mistake shows at once; the packaged ones have our tests, and making them ready takes half a
        # second which a command that needs three of them is not to wait for.
        self._read(_catalogues(folders))
        self._compile(jinja2.FileSystemLoader(folders).list_templates() if folders else ())

    @classmethod
    def for_newsletter(cls, config: Config, newsletter: Newsletter | None = None) -> Renderer:
        """Return a newsletter's renderer: its own folder first, then the configuration's, then the packaged one."""
        own = newsletter.templates if newsletter else None
        return cls([folder for folder in (own, config.templates) if folder is not None])

    def compile_all(self) -> None:
        """Make ready what is left, for a service that lasts: it shall not meet a later package half way. Blocking.

        Raises RenderError naming file and line.
        """
        self._read(self._places)
        self._compile(self.names)

    def render(self, name: str, language: str, values: Mapping[str, Any]) -> str:
        """Return a template's text in a language. Raises RenderError, for example for an undefined variable (E1)."""
        try:
            template = self._environment.get_template(name)
            return template.render(self._context(language, values))
        except _FAILURES as error:
            raise RenderError(_explain(name, error)) from error

    def text(self, source: str, language: str, values: Mapping[str, Any]) -> str:
        """Render a template given as a string, sandboxed and without escaping: for subjects. Raises RenderError."""
        try:
            if source not in self._sources:
                self._sources[source] = self._environment.from_string(source)
            return self._sources[source].render(self._context(language, values))
        except _FAILURES as error:
            raise RenderError(_explain(repr(source), error)) from error

    def words(self, language: str) -> gettext.NullTranslations:
        """Return the catalogue of a language, else of its primary subtag; English (the msgids) for any other."""
        for choice in (language.lower(), language.lower().partition("-")[0]):
            if choice in self._places and choice not in self._catalogues:
                self._read([choice])
            if choice in self._catalogues:
                return self._catalogues[choice]
        return gettext.NullTranslations()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all templates, without the `builtin/` ones."""
        return tuple(n for n in self._environment.list_templates(extensions=["j2"]) if not n.startswith(f"{BUILTIN}/"))

    def _context(self, language: str, values: Mapping[str, Any]) -> dict[str, Any]:
        return {"language": language, "direction": text.direction(language), **values}

    def _make_environment(self, places: Sequence[Path], home: Path) -> jinja2.Environment:
        environment = ImmutableSandboxedEnvironment(
            loader=jinja2.ChoiceLoader(
                [
                    jinja2.FileSystemLoader(places),
                    jinja2.PrefixLoader({BUILTIN: jinja2.FileSystemLoader(home)}),
                ]
            ),
            autoescape=_escapes,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=False,
            # What was compiled at load is what is sent: a file changed under a running issue waits for the reload.
            auto_reload=False,
            cache_size=-1,
            extensions=["jinja2.ext.i18n"],
        )
        install: Any = environment  # the i18n extension adds its method at run time
        install.install_gettext_callables(self._gettext, self._ngettext, newstyle=True)
        environment.filters |= {
            "date": _date,
            "wrap": text.wrap,
            "excerpt": text.excerpt,
            "truncate": text.truncate,
            "direction": text.direction,
        }
        return environment

    def _read(self, languages: Iterable[str]) -> None:
        """Read catalogues; an earlier place's translation wins, a later one fills what it lacks."""
        for language in languages:
            if language not in self._catalogues:
                first, *others = [_catalogue(path) for path in self._places[language]]
                for other in others:
                    first.add_fallback(other)
                self._catalogues[language] = first

    def _compile(self, names: Iterable[str]) -> None:
        for name in names:
            if not name.endswith(".j2"):
                continue
            try:
                self._environment.get_template(name)
            except jinja2.TemplateError as error:
                raise RenderError(_explain(name, error)) from error
            except UnicodeDecodeError as error:
                raise RenderError(f"{name}: not UTF-8 at byte {error.start}; save the template as UTF-8") from error

    # One environment serves all languages: the catalogue follows the `language` of the context that is being rendered,
    # and StrictUndefined complains where a macro was imported "without context".
    @staticmethod
    def _language(context: Context) -> str:
        language = context.resolve("language")
        return str(language)

    @property
    def _gettext(self) -> Any:  # noqa: ANN401 - jinja2 takes any callable
        @jinja2.pass_context
        def translate(context: Context, message: str) -> str:
            return self.words(self._language(context)).gettext(message)

        return translate

    @property
    def _ngettext(self) -> Any:  # noqa: ANN401 - jinja2 takes any callable
        @jinja2.pass_context
        def translate(context: Context, singular: str, plural: str, number: int) -> str:
            return self.words(self._language(context)).ngettext(singular, plural, number)

        return translate


_KEEP = ' data-css-inline="keep"'
_INLINER = css_inline.CSSInliner(
    keep_style_tags=False,  # but for those marked as _KEEP: media queries for phones and dark mode
    minify_css=True,
    load_remote_stylesheets=False,  # on by default, and would fetch what a template names
)


def safe(html: str) -> str:
    """Mark HTML that a template made as not to be escaped again."""
    return Markup(html)  # noqa: S704 - only for what `Renderer.render` returned


def inline_css(html: str) -> str:
    """Return the document with its style sheets written into `style` attributes.

    A sheet that must stay one is marked `<style data-css-inline="keep">`; it stays where it is.
    """
    try:
        return _INLINER.inline(html).replace(_KEEP, "")
    except ValueError as error:
        raise RenderError(f"the style sheet of a mail cannot be inlined: {error}") from error


def _escapes(name: str | None) -> bool:
    """Whether a template's values are escaped: HTML and XML by name; a string given to `text` never."""
    return name is not None and name.endswith(_ESCAPED)


def _date(when: datetime, language: str, zone: str = "UTC", style: dates.Style = "long") -> str:
    return dates.display(when, language, ZoneInfo(zone), style)


def _explain(name: str, error: Exception) -> str:
    """Say what is wrong with a template, and where: the deepest line of a template that the traceback knows."""
    if isinstance(error, jinja2.TemplateSyntaxError):
        return f"{error.filename or error.name or name}:{error.lineno}: {error.message}"
    if isinstance(error, jinja2.TemplateNotFound):
        return f"{name}: there is no template {error.message!r}"
    where, trace = name, error.__traceback__
    while trace is not None:
        # jinja2 rewrites tracebacks: frames of templates carry the template's own file and line.
        file = trace.tb_frame.f_code.co_filename
        if file.endswith(".j2") or file in ("<template>", "<unknown>"):
            where = f"{name if file.startswith('<') else file}:{trace.tb_lineno}"
        trace = trace.tb_next
    return (
        f"{where}: {type(error).__name__}: {error}"
        if not isinstance(error, jinja2.TemplateError)
        else f"{where}: {error}"
    )


def _catalogues(places: Sequence[Path]) -> dict[str, list[Path]]:
    """Return the files `locales/*.po` of every place by language, in the order of the places."""
    found: dict[str, list[Path]] = {}
    for place in places:
        for path in sorted((place / "locales").glob("*.po")):
            found.setdefault(path.stem.lower().replace("_", "-"), []).append(path)
    return found


def _catalogue(path: Path) -> gettext.NullTranslations:
    """Read one catalogue; babel compiles it, so that plural forms follow its own header."""
    from babel.core import UnknownLocaleError  # here: who writes English only needs none of it
    from babel.messages.mofile import write_mo
    from babel.messages.pofile import PoFileError, read_po

    compiled = io.BytesIO()
    try:
        with path.open("rb") as file:
            catalogue = read_po(file, locale=path.stem.replace("-", "_"), abort_invalid=True)
    except (PoFileError, ValueError, UnknownLocaleError) as error:
        raise RenderError(f"{path}: {error}") from error
    for message, errors in catalogue.check():  # a placeholder lost in translation would fail in the middle of an issue
        raise RenderError(f"{path}:{message.lineno}: {errors[0]}")
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)
