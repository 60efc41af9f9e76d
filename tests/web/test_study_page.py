"""The raters' page in a browser: by keyboard and on a phone, and no text becomes code."""

from __future__ import annotations

import json
import re
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

uvicorn = pytest.importorskip("uvicorn", reason="the page needs the extra 'serve'")
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from serving import PATIENCE  # noqa: E402

from emotone.evaluation.scores import Number  # noqa: E402
from emotone.human import app as apps  # noqa: E402
from emotone.human import store as stores  # noqa: E402
from emotone.human.design import design_text, read_design  # noqa: E402
from emotone.human.draw import Unit  # noqa: E402
from emotone.human.figures import findings  # noqa: E402
from emotone.human.judged import Labels  # noqa: E402
from emotone.human.plan import plan  # noqa: E402
from emotone.human.ratings import answers  # noqa: E402
from emotone.human.store import Store, open_store  # noqa: E402
from emotone.report.study import study_page, study_tables  # noqa: E402
from emotone.report.tables import latex, markdown  # noqa: E402
from emotone.web.listen import bind  # noqa: E402
from unit.human import simulated  # noqa: E402

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
if CHROMIUM is None:
    pytest.skip("no chromium is on the path", allow_module_level=True)
pytestmark = pytest.mark.slow  # starts a browser

_CORE = (
    "<script>hit()</script>",
    "</script><script>hit()</script>",
    "<img src=x onerror=hit()>",
    "<svg onload=hit()>",
    "<svg><script>hit()</script></svg>",
    "<iframe srcdoc='<script>parent.hit()</script>'></iframe>",
    "<body onload=hit()>",
    "<input autofocus onfocus=hit()>",
    "<details open ontoggle=hit()>x</details>",
    "<a href='javascript:hit()'>click</a>",
    "javascript:hit()",
    "data:text/html,<script>hit()</script>",
    "<style>@import 'javascript:hit()';</style>",
    "<link rel=stylesheet href='javascript:hit()'>",
    "<meta http-equiv=refresh content='0;url=javascript:hit()'>",
    "<base href='https://evil.example/'>",
    "<form action='javascript:hit()'><button>x</button></form>",
    "<object data='javascript:hit()'></object>",
    "<embed src='javascript:hit()'>",
    "<math><mtext></mtext><script>hit()</script></math>",
    "<template><script>hit()</script></template>",
    "<noscript><p title='</noscript><img src=x onerror=hit()>'>",
    "<video><source onerror=hit()></video>",
    "<marquee onstart=hit()>",
    "<select><option onclick=hit()>x</select>",
    "<textarea onfocus=hit() autofocus></textarea>",
    "<xss onpointerenter=hit()>x</xss>",
    "<p style='background:url(javascript:hit())'>",
    "' onmouseover='hit()",
    '" onmouseover="hit()',
    "`${hit()}`",
    "{{constructor.constructor('hit()')()}}",
    "${7*7}#{7*7}<%= 7*7 %>",
    "--><script>hit()</script><!--",
    "]]><script>hit()</script>",
    "</title><script>hit()</script>",
    "</textarea><script>hit()</script>",
    "</div></main></body><script>hit()</script>",
    "&lt;script&gt;hit()&lt;/script&gt;",
    "&#60;script&#62;hit()&#60;/script&#62;",
    "\\u003cscript\\u003ehit()\\u003c/script\\u003e",
    "%3Cscript%3Ehit()%3C/script%3E",
    "<scr<script>ipt>hit()</scr</script>ipt>",
    "<SCRIPT SRC=//evil.example/x.js></SCRIPT>",
    "<img src='https://evil.example/track.png'>",
    "<script type=module>import '//evil.example'</script>",
    "<img srcset='x 1x' onerror=hit()>",
    "\u2028hit()\u2029",
    "\u202e)(tih\u202c right to left",
    "\ufeff<script>hit()</script>",
    "<<script>hit()//<</script>",
    "<script\x0b>hit()</script>",
    "__proto__",
    "constructor",
    "'; DROP TABLE ratings; --",
    '{"item": null, "done": 99}',
    '=HYPERLINK("javascript:hit()")',
    "Z̷͎a̷l̵g̶o̴ " + "x" * 3000,
    "{items} {minutes} {contact} {place}",
    "line\nbreak\tand \x1b[31mcolour",
)


@contextmanager
def serving(store: Store) -> Iterator[str]:
    """Serve a study on loopback, for a browser that is a process of its own."""
    own = bind("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(apps.app(store), log_level="warning"))
    thread = threading.Thread(target=server.run, args=([own],), daemon=True)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{own.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        own.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


def opened(browser: Any, width: int = 1280, **how: Any) -> tuple[Any, list[str]]:
    """A page, and what went wrong on it."""
    page = browser.new_context(viewport={"width": width, "height": 800}, **how).new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.on("dialog", lambda dialog: (wrong.append(f"dialog {dialog.message}"), dialog.dismiss()))
    page.set_default_timeout(1000 * PATIENCE)
    page.add_init_script("window.hits = 0; window.hit = () => { window.hits += 1; };")
    return page, wrong


def begin(page: Any) -> None:
    """Accept the consent and practise."""
    page.check("#agree")
    page.click("#agree-send")
    page.click("#guide-go")
    practice = page.locator("#item-head")
    for n in range(4):
        sync_api.expect(practice).to_contain_text(str(n + 1))
        page.keyboard.press("1")
        page.keyboard.press("2")
        page.keyboard.press("0")
        page.keyboard.press("Enter")
        sync_api.expect(page.locator("#feedback")).not_to_be_empty()
        page.click("#send")
    page.wait_for_selector("#pause:not([hidden])")


def test_a_rater_goes_through_by_keyboard(browser: Any, tmp_path: Path):
    path, tokens, _ = simulated.study(tmp_path, posts=1, raters=3, each=1, hand=0)
    with open_store(path) as store, serving(store) as base:
        page, wrong = opened(browser)
        expect = sync_api.expect
        page.goto(f"{base}/r/{tokens['r01']}")
        expect(page.locator("#consent")).to_contain_text("voluntary")
        begin(page)
        head, said = page.locator("#item-head"), page.locator("#said")
        expect(head).to_have_text("Item 1 of 6")
        page.keyboard.press("1")
        page.keyboard.press("Backspace")
        page.keyboard.press("0")
        page.keyboard.press("7")  # no value of any question
        page.keyboard.press("2")
        page.keyboard.press("Enter")
        expect(said).to_contain_text("Please answer first: Blame")
        page.keyboard.press("1")
        expect(head).to_have_text("Item 2 of 6")
        expect(said).to_have_text("Saved. 1 of 6 done.")
        [first] = answers(store)
        assert first.values == {"emotion": 0, "content": 2, "blame": 1}
        assert first.seconds is not None
        page.keyboard.press("s")
        page.keyboard.press("1")  # goes to the dialog, not to the question behind it
        page.select_option("#reason", "upsetting")
        page.fill("#note", "0 1 2 u s p")
        page.click("#skip-yes")
        expect(said).to_have_text("Skipped. 2 of 6 done.")
        page.keyboard.press("u")
        expect(said).to_have_text("Taken back. 1 of 6 done.")
        page.keyboard.press("p")
        expect(page.locator("#paused")).to_be_visible()
        page.keyboard.press("0")
        page.keyboard.press("p")
        expect(head).to_have_text("Item 2 of 6")
        page.click("#language")
        expect(head).to_have_text("第 2 条，共 6 条")
        expect(page.locator("#criteria")).to_contain_text("语法正确")
        page.reload()
        expect(head).to_have_text("第 2 条，共 6 条")  # the same link goes on
        for n in range(2, 7):
            expect(head).to_contain_text(f"第 {n} 条")
            for key in "120":
                page.keyboard.press(key)
        expect(page.locator("#end")).to_be_visible()
        assert len(answers(store)) == 6
        page.keyboard.press("u")
        expect(head).to_have_text("第 6 条，共 6 条")
        assert wrong == []
        page.context.close()


def test_a_phone_needs_no_scrolling_sideways_and_no_keyboard(browser: Any, tmp_path: Path):
    path, tokens, _ = simulated.study(tmp_path, posts=1, raters=3, each=1, hand=0)
    with open_store(path) as store, serving(store) as base:
        page, wrong = opened(browser, 360, is_mobile=True, has_touch=True)
        page.goto(f"{base}/r/{tokens['r02']}")
        begin(page)
        sizes = page.evaluate(
            "[...document.querySelectorAll('button, .levels label')].filter(b => b.offsetParent)"
            ".map(b => [b.innerText, b.offsetWidth, b.offsetHeight])"
        )
        assert [one for one in sizes if one[1] < 40 or one[2] < 40] == [], "fingers are wide"
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        for name, value in (("emotion", 1), ("content", 1), ("blame", 0)):
            page.tap(f"label[for={name}-{value}]")
        sync_api.expect(page.locator("#said")).to_have_text("Saved. 1 of 6 done.")
        page.tap("#undo")
        sync_api.expect(page.locator("#said")).to_have_text("Taken back. 0 of 6 done.")
        page.uncheck("#auto")
        for name, value in (("emotion", 0), ("content", 0), ("blame", 0)):
            page.tap(f"label[for={name}-{value}]")
        assert answers(store) == []
        page.tap("#send")
        sync_api.expect(page.locator("#said")).to_have_text("Saved. 1 of 6 done.")
        assert wrong == []
        page.context.close()


def test_what_could_not_be_sent_is_sent_again_and_is_there_once(browser: Any, tmp_path: Path):
    path, tokens, _ = simulated.study(tmp_path, posts=1, raters=3, each=1, hand=0)
    with open_store(path) as store, serving(store) as base:
        page, _ = opened(browser)
        page.add_init_script(
            "const real = setTimeout; window.setTimeout = (call, ms) => real(call, ms / 20);"
        )
        page.goto(f"{base}/r/{tokens['r03']}")
        begin(page)
        tries: list[str] = []

        def fail(route: Any) -> None:
            tries.append(json.loads(route.request.post_data)["key"])
            if len(tries) == 1:
                route.abort()
            elif len(tries) == 2:  # it is saved, but the answer gets lost
                route.fetch()
                route.fulfill(status=503, headers={"retry-after": "0.1"}, body="{}")
            else:
                route.continue_()

        page.route("**/api/rate", fail)
        for key in "120":
            page.keyboard.press(key)
        sync_api.expect(page.locator("#wrong")).to_contain_text("Not saved yet")
        page.keyboard.press("1")  # nothing is taken while an answer waits
        sync_api.expect(page.locator("#said")).to_have_text("Saved. 1 of 6 done.")
        sync_api.expect(page.locator("#wrong")).to_be_hidden()
        assert len(tries) == 3
        assert len(set(tries)) == 1
        assert len(answers(store)) == 1
        page.context.close()


def hostile(folder: Path, name: str, raters: Sequence[str]) -> tuple[Path, dict[str, str]]:
    text = design_text(name)
    shown = [
        Unit("reply", post, "joy:100", "ekman", "joy", _CORE[(n + 7) % len(_CORE)], _CORE[n % 3],
             f"e{n}")
        for n, post in enumerate(_CORE)
    ]  # fmt: skip
    made = plan(read_design(text), shown, raters, 1, lang="en", seed=0)
    path = folder / "hostile.db"
    return path, stores.create(
        path, text, made, lang="en", seed=0, contact="<img src=x onerror=hit()>", seconds=1.0
    )


def test_sixty_hostile_texts_are_only_text(browser: Any, tmp_path: Path, monkeypatch):
    assert len(_CORE) == len(set(_CORE)) == 60
    monkeypatch.setattr(apps, "BURST", 1e9)
    path, tokens = hostile(tmp_path, "emo-seq", ["me"])
    seen: dict[str, str] = {}
    with open_store(path) as store, serving(store) as base:
        page, wrong = opened(browser)
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{base}/r/{tokens['me']}")
        begin(page)
        while page.locator("#item").is_visible():
            place = page.locator("#item-head").inner_text()
            seen[page.evaluate("document.getElementById('post').textContent")] = page.evaluate(
                "document.querySelector('.reply').textContent"
            )
            for key in "100":
                page.keyboard.press(key)
            if not place.startswith("Item 63"):
                sync_api.expect(page.locator("#item-head")).not_to_have_text(place)
            if place.startswith("Item 63"):
                break
        assert page.evaluate("window.hits") == 0
        assert wrong == []
        assert {url.partition("/r/")[0].partition("/api")[0].partition("/static")[0]
                for url in asked} <= {base, "data:,"}  # fmt: skip
        page.context.close()
    for n, text in enumerate(_CORE):
        assert text in seen
        assert seen[text] == _CORE[(n + 7) % 60] or "answer" in seen[text] or "choose" in seen[text]


def test_hostile_names_do_nothing_in_the_report(browser: Any, tmp_path: Path):
    names = [text for text in _CORE if text.strip()]
    path, tokens = hostile(tmp_path, "emo-seq", names)
    with open_store(path) as store:
        from emotone.human.ratings import Act, save, state_of, tell
        from emotone.human.store import rater_of_name, units_of

        units = units_of(store)
        for name in names:
            rater = rater_of_name(store, name)
            tell(store, rater, "consent")
            place = state_of(store, rater, units).place
            values = {"emotion": 1, "content": 2, "blame": 0}
            save(store, rater, Act("rate", name[:100], place, values))
        replies = {(u.source, u.reply): {"label": "joy", "scores": {"joy": 0.5}}
                   for u in units.values()}  # fmt: skip
        found = findings(store, [Labels("emotion", _CORE[0], replies)], rounds=20)
    assert len(found.raters) == len(tokens) == 60
    assert isinstance(found.cells[0].number, Number)
    (tmp_path / "index.html").write_text(study_page(found), encoding="utf-8")
    page, wrong = opened(browser)
    page.goto((tmp_path / "index.html").as_uri())
    assert page.evaluate("window.hits") == 0
    assert page.locator("script, iframe, img, object, embed, form, base").count() == 0
    rows = page.locator("table").last.locator("tbody tr")
    assert rows.count() == 60
    assert [text for text in wrong if "Content Security Policy" not in text] == []
    page.context.close()
    for table in study_tables(found):
        assert not re.search(r"(?<!\\)<", markdown(table)), "every bracket is escaped"
        assert "\\input" not in latex(table)
