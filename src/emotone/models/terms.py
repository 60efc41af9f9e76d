"""Terms of use as plain text, out of the web page that a wheel carries."""

from __future__ import annotations

import re
from html.parser import HTMLParser

_BLOCKS = {"p", "h1", "h2", "h3", "h4", "li", "ul", "ol", "br", "div", "tr", "table"}
_MUTE = {"script", "style", "template"}
_BODY = "article-body"


def plain_text(page: str) -> str:
    """Take the text out of an HTML page, the menus around an article left out.

    Args:
        page: HTML.

    Returns:
        Paragraphs with an empty line between them.
    """
    article = _Text(inside=_BODY in page)
    article.feed(page)
    article.close()
    paragraphs = (re.sub(r"\s+", " ", p).strip() for p in "".join(article.pieces).split("\0"))
    return "\n\n".join(p for p in paragraphs if p)


class _Text(HTMLParser):
    def __init__(self, *, inside: bool) -> None:
        super().__init__()
        self.pieces: list[str] = []
        self._needs_article = inside
        self._depth = 0  # of div elements, counted from the article's own
        self._mute = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _MUTE:
            self._mute += 1
        if tag == "div":
            starts = _BODY in (dict(attrs).get("class") or "")
            self._depth += 1 if self._depth or starts else 0
        if tag in _BLOCKS:
            self.pieces.append("\0")

    def handle_endtag(self, tag: str) -> None:
        if tag in _MUTE:
            self._mute = max(0, self._mute - 1)
        if tag == "div" and self._depth:
            self._depth -= 1
        if tag in _BLOCKS:
            self.pieces.append("\0")

    def handle_data(self, data: str) -> None:
        if not self._mute and (self._depth or not self._needs_article):
            self.pieces.append(data)
