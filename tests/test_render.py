"""Tests of the templates' door: sandbox, strictness, overriding, languages, style sheets."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from publisher.errors import RenderError
from publisher.files import packaged
from publisher.render import Renderer, inline_css, safe

PLURALS = {
    "ru": {0: "0 статей", 1: "1 статья", 2: "2 статьи", 5: "5 статей", 11: "11 статей", 21: "21 статья"},
    "be": {1: "1 артыкул", 3: "3 артыкулы", 12: "12 артыкулаў", 31: "31 артыкул"},
    "he": {1: "כתבה אחת", 2: "2 כתבות", 10: "10 כתבות"},
    "en": {0: "0 articles", 1: "1 article", 2: "2 articles"},
    "de": {1: "1 article", 2: "2 articles"},
}  # fmt: skip


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer()


def write(folder: Path, **templates: str) -> Path:
    """Write templates, `mail_x_html` becoming `mail/x.html.j2`."""
    for name, source in templates.items():
        place, base, kind = name.split("_")
        path = folder / place / f"{base}.{kind}.j2"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, "utf-8")
    return folder


def test_a_syntax_error_is_refused_at_load_with_file_and_line(tmp_path: Path) -> None:
    """E1."""
    folder = write(tmp_path, mail_digest_html="fine\n{% if %}\n")
    with pytest.raises(RenderError, match=r"digest\.html\.j2:2: Expected an expression"):
        Renderer([folder])


def test_a_template_that_is_not_utf8_is_refused_at_load(tmp_path: Path) -> None:
    (tmp_path / "bad.html.j2").write_bytes(b"caf\xe9")
    with pytest.raises(RenderError, match=r"bad\.html\.j2: not UTF-8 at byte 3"):
        Renderer([tmp_path])


def test_an_undefined_variable_is_an_error_and_names_its_line(tmp_path: Path) -> None:
    """E1: StrictUndefined."""
    renderer = Renderer([write(tmp_path, mail_x_html="one\n{{ nothing }}")])
    with pytest.raises(RenderError, match=r"x\.html\.j2:2: 'nothing' is undefined"):
        renderer.render("mail/x.html.j2", "en", {})


def test_a_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RenderError, match="no such folder"):
        Renderer([tmp_path / "missing"])


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ ''|attr('__class__') }}",
        "{{ '{0.__class__}'.format(value) }}",
        "{{ '{x.__class__}'.format_map({'x': value}) }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ value.append(1) }}",
        "{{ open('/etc/passwd') }}",
        "{% for i in range(1000000000) %}{% endfor %}",
        "{% include '../../etc/passwd' %}",
        "{% include '/etc/passwd' %}",
    ],
)
def test_a_template_reaches_nothing_but_its_values(renderer: Renderer, source: str) -> None:
    """E5, E7: attributes of Python, changes of values, files and endless loops are refused."""
    with pytest.raises(RenderError):
        renderer.text(source, "en", {"value": []})


def test_html_is_escaped_in_html_and_not_in_text(tmp_path: Path) -> None:
    """E6."""
    renderer = Renderer([write(tmp_path, mail_x_html="{{ v }}", mail_x_txt="{{ v }}")])
    value = {"v": "<b>Q&A</b>"}
    assert renderer.render("mail/x.html.j2", "en", value) == "&lt;b&gt;Q&amp;A&lt;/b&gt;"
    assert renderer.render("mail/x.txt.j2", "en", value) == "<b>Q&A</b>"
    assert renderer.text("{{ v }}", "en", value) == "<b>Q&A</b>"
    assert renderer.render("mail/x.html.j2", "en", {"v": safe("<b>")}) == "<b>"


def test_values_inside_translated_sentences_are_escaped(tmp_path: Path) -> None:
    """E6: a credit is text of a stranger."""
    renderer = Renderer([write(tmp_path, mail_x_html="{{ _('Photo: %(credit)s', credit=c) }}")])
    assert renderer.render("mail/x.html.j2", "ru", {"c": "<script>100%"}) == "Фото: &lt;script&gt;100%"


def test_the_newsletters_folder_comes_before_the_configurations_and_that_before_ours(tmp_path: Path) -> None:
    own = write(tmp_path / "own", mail_a_txt="own a")
    common = write(tmp_path / "common", mail_a_txt="common a", mail_b_txt="common b")
    renderer = Renderer([own, common])
    assert [renderer.render(f"mail/{name}.txt.j2", "en", {}) for name in "ab"] == ["own a", "common b"]
    assert "mail/digest.html.j2" in renderer.names


def test_an_override_can_extend_the_packaged_template_and_change_one_block(tmp_path: Path) -> None:
    folder = write(
        tmp_path, mail_base_html='{% extends "builtin/mail/base.html.j2" %}{% block subject %}Ours{% endblock %}'
    )
    assert "<title>Ours</title>" in Renderer([folder]).render("mail/base.html.j2", "he", {})


def test_a_template_changed_while_running_waits_for_the_reload(tmp_path: Path) -> None:
    """E14."""
    renderer = Renderer([write(tmp_path, mail_x_txt="first")])
    write(tmp_path, mail_x_txt="second")
    assert renderer.render("mail/x.txt.j2", "en", {}) == "first"


@pytest.mark.parametrize("language", PLURALS)
def test_numbers_take_the_plural_of_their_language(renderer: Renderer, language: str) -> None:
    source = "{{ ngettext('%(num)d article', '%(num)d articles', n) }}"
    forms = {n: renderer.text(source, language, {"n": n}) for n in PLURALS[language]}
    assert forms == PLURALS[language]


def test_a_regional_language_uses_the_catalogue_of_its_language(renderer: Renderer) -> None:
    assert renderer.words("ru-BY").gettext("Unsubscribe") == "Отписаться"
    assert renderer.text("{{ language }} {{ direction }}", "he-IL", {}) == "he-IL rtl"


def test_an_overriding_catalogue_changes_single_words(tmp_path: Path) -> None:
    (tmp_path / "locales").mkdir()
    header = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-8\\n"\n\n'
    (tmp_path / "locales" / "ru.po").write_text(header + 'msgid "Unsubscribe"\nmsgstr "Уйти"\n', "utf-8")
    words = Renderer([tmp_path]).words("ru")
    assert [words.gettext("Unsubscribe"), words.gettext("All issues")] == ["Уйти", "Все выпуски"]


@pytest.mark.parametrize(
    ("name", "entry", "said"),
    [
        ("ru.po", 'msgid "Photo: %(credit)s"\nmsgstr "Фото: %(creddit)s"\n', "ru.po:4: .*placeholder"),
        ("ru.po", "nonsense\n", "ru.po: Unknown or misformatted keyword"),
        ("xx1.po", "", "xx1.po: "),
    ],
)
def test_a_broken_catalogue_is_refused_at_load(tmp_path: Path, name: str, entry: str, said: str) -> None:
    """A placeholder lost in translation would otherwise fail in the middle of an issue."""
    (tmp_path / "locales").mkdir()
    header = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-8\\n"\n\n'
    (tmp_path / "locales" / name).write_text(header + entry, "utf-8")
    with pytest.raises(RenderError, match=said):
        Renderer([tmp_path])


def test_dates_follow_language_and_zone(renderer: Renderer) -> None:
    when = datetime(2026, 11, 22, 23, 30, tzinfo=UTC)
    source = "{{ when|date(language, 'Europe/Minsk') }}"
    assert renderer.text(source, "en", {"when": when}) == "23 November 2026"
    assert renderer.text(source, "ru", {"when": when}).startswith("23 ноября 2026")


def test_style_sheets_go_inline_but_for_the_one_to_keep() -> None:
    html = inline_css(
        "<html><head><style>.a{color:red}</style>"
        '<style data-css-inline="keep">@media (max-width:480px){.a{color:blue!important}}</style>'
        '<link rel="stylesheet" href="http://127.0.0.1:9/x.css"></head><body><p class="a">x</p></body></html>'
    )
    assert html == (
        "<html><head><style>@media (max-width:480px){.a{color:blue!important}}</style>"
        '</head><body><p class="a" style="color:red">x</p></body></html>'
    )


@pytest.mark.parametrize("language", ["be", "he", "ru"])
def test_every_word_of_the_mails_is_translated(language: str) -> None:
    """A string that a template or the composer gained needs its translation in the same change."""
    with (packaged("templates") / "locales" / f"{language}.po").open("rb") as file:
        catalogue = read_po(file, locale=language)
    code = Path(__file__).parent.parent / "publisher"
    assert missing(catalogue, packaged("templates") / "mail", code / "digests", code / "subscriptions") == []


@pytest.mark.parametrize("language", ["be", "he", "ru"])
def test_a_catalogue_translates_each_word_once(language: str) -> None:
    """Of two translations the later would win, whatever page its translator had in mind."""
    lines = (packaged("templates") / "locales" / f"{language}.po").read_text("utf-8").splitlines()
    words = [line for line in lines if line.startswith("msgid ")]
    assert [word for word in set(words) if words.count(word) > 1] == []


@pytest.mark.parametrize("language", ["be", "he", "ru"])
def test_every_word_of_the_pages_is_translated(language: str) -> None:
    """Issue 5: no page is half in one language and half in another."""
    with (packaged("templates") / "locales" / f"{language}.po").open("rb") as file:
        catalogue = read_po(file, locale=language)
    code = Path(__file__).parent.parent / "publisher"
    assert missing(catalogue, packaged("templates") / "web", code / "web") == []


def missing(catalogue: Catalog, *folders: Path) -> list[str]:
    """Return the messages used in these folders that the catalogue lacks or has only in part."""
    methods = [("**.j2", "jinja2.ext:babel_extract"), ("**.py", "python")]
    used = {
        message if isinstance(message, str) else message[0]
        for folder in folders
        for _, _, message, _, _ in extract_from_dir(folder, methods, {"**.j2": {"trimmed": "true"}})
    }
    assert used
    known = {}
    for entry in catalogue:
        identity = entry.id if isinstance(entry.id, str) else entry.id[0]
        forms = [entry.string] if isinstance(entry.string, str) else list(entry.string or ())
        known[identity] = all(forms) and not entry.fuzzy
    return sorted(message for message in used if not known.get(message))
