from __future__ import annotations

from emotone.models.terms import plain_text


def test_article_without_what_surrounds_it() -> None:
    page = """<html><head><style>p {}</style></head><body><nav>Menu</nav>
    <div class="x-article-body clearfix"><h1>Terms</h1><p>You &amp; I
    <b>agree</b>.</p><div>Inner</div><script>no()</script><ul><li>One</li><li>Two</li></ul></div>
    <footer>Foot</footer></body></html>"""
    assert plain_text(page) == "Terms\n\nYou & I agree.\n\nInner\n\nOne\n\nTwo"


def test_page_without_an_article_is_kept_whole() -> None:
    assert plain_text("<p>All</p> of it") == "All\n\nof it"
