"""The playground in a browser: what it asks, what it shows, and that no text becomes code."""

from __future__ import annotations

import ast
import asyncio
import json
import math
import re
import shlex
import shutil
import socket
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

uvicorn = pytest.importorskip("uvicorn", reason="the server needs the extra 'serve'")
pytest.importorskip("fastapi", reason="the server needs the extra 'serve'")
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from serving import PATIENCE, until, worker_of  # noqa: E402
from starlette.applications import Starlette  # noqa: E402
from starlette.requests import Request  # noqa: E402
from starlette.responses import (  # noqa: E402
    FileResponse,
    JSONResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Mount, Route  # noqa: E402
from starlette.staticfiles import StaticFiles  # noqa: E402

from emotone.emotions import EVERYDAY, TAXONOMIES, Auto, MixText, vad  # noqa: E402
from emotone.emotions.auto import DEFAULT_POLICY, POLICIES  # noqa: E402
from emotone.errors import EmotoneError  # noqa: E402
from emotone.lm import care  # noqa: E402
from emotone.server import moods  # noqa: E402
from emotone.server.app import _HTTP  # noqa: E402
from emotone.server.failures import _CODES  # noqa: E402
from emotone.types import EmpathyLevels  # noqa: E402
from emotone.web.guard import Guard, failure  # noqa: E402

PAGE = Path(str(files("emotone.server") / "page"))
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
if CHROMIUM is None:
    pytest.skip("no chromium is on the path", allow_module_level=True)
pytestmark = pytest.mark.slow  # starts a browser

BASIC = ("anger", "disgust", "fear", "joy", "sadness", "surprise", "love")
MOODS = (
    *("calm", "pride", "gratitude", "amusement", "curiosity"),
    *("hope", "embarrassment", "loneliness", "jealousy", "boredom"),
)
HEARD = ("anger", "fear", "joy", "sadness", "neutral")


def card(
    labels: Sequence[str], *, graded: bool = True, vectors: bool = True, empathy: bool = False
) -> dict[str, Any]:
    """What /v1/emotions says of a model with these labels."""
    return {
        "graded": graded and bool(labels),
        "mixes": graded and bool(labels),
        "empathy": empathy,
        "history": True,
        "streaming": True,
        "languages": ["en", "zh"] if graded else [],
        "data": [
            {
                "id": label,
                "aliases": {"joy": ["happy"], "sadness": ["sad"]}.get(label, []),
                "range": [-100, 100] if graded else [100, 100],
                "calibrated": True,
            }
            for label in labels
        ],
        "vectors": {"listens_to": list(HEARD)} if vectors and graded and labels else None,
    }


class Fake:
    """A server of some models that answers at once, and remembers what it was asked."""

    text = "What a lovely thing to say! I hope 明天 is just as bright, and that you smile."

    def __init__(self) -> None:
        self.address = ""
        self.begin()

    def begin(self) -> None:
        """Forget everything."""
        self.cards = {
            "full": card((*BASIC, *MOODS)),
            "classes": card(("happiness", "sadness", "anger", "like"), graded=False),
            "plain": card(()),
            "slow": card(BASIC),
            "warm": card(BASIC, vectors=False, empathy=True),
        }
        self.asked: list[dict[str, Any]] = []
        self.key = ""
        self.status = "ok"
        self.error = ""
        self.code = ""
        self.notes: list[str] = []
        self.care = ""
        self.delay = 0.0
        self.left = 0
        self.looks = 0

    @property
    def last(self) -> dict[str, Any]:
        return self.asked[-1]

    def app(self) -> Any:
        routes = [
            Route("/", lambda _: FileResponse(PAGE / "index.html")),
            Mount("/page", StaticFiles(directory=str(PAGE))),
            Route("/health", self.health),
            Route("/v1/models", self.models),
            Route("/v1/settings", self.settings),
            Route("/v1/emotions", self.emotions),
            Route("/v1/chat/completions", self.chat, methods=["POST"]),
        ]
        return Guard(Starlette(routes=routes))

    def refused(self, request: Request) -> JSONResponse | None:
        if self.key and request.headers.get("authorization") != f"Bearer {self.key}":
            return failure(401, "no valid API key came; send one as a bearer token")
        return None

    async def health(self, _: Request) -> Response:
        self.looks += 1
        return JSONResponse({"status": self.status}, 200 if self.status == "ok" else 503)

    async def models(self, request: Request) -> Response:
        rows = [{"id": name} for name in self.cards]
        return self.refused(request) or JSONResponse({"data": rows})

    async def settings(self, request: Request) -> Response:
        row = {"max_tokens": 256, "max_n": 4, "care": True, "default": next(iter(self.cards))}
        return self.refused(request) or JSONResponse(row)

    async def emotions(self, request: Request) -> Response:
        name = request.query_params.get("model", "")
        if self.status != "ok":
            return failure(503, "not now")
        return self.refused(request) or JSONResponse({"model": name, **self.cards[name]})

    def told(self, body: dict[str, Any]) -> dict[str, Any]:
        return {
            "emotion": body.get("emotion"),
            "system": "steered",
            "model": "smollm2",
            "seed": body.get("seed", 4711),
            "dose": {"joy": 1.25} if body.get("emotion") else {},
            "applied": {},
            "backed_off": 0,
            "notes": self.notes,
            **({"care": self.care} if self.care else {}),
        }

    async def chat(self, request: Request) -> Response:
        if refusal := self.refused(request):
            return refusal
        body = await request.json()
        self.asked.append(body)
        if self.error:
            return failure(429, self.error, code=self.code)
        tokens = [f"{' ' if i else ''}{word}" for i, word in enumerate(self.text.split(" "))]
        meter = [self.heard(i, token) for i, token in enumerate(tokens)]
        meter = meter if body.get("emotion_meter") else []
        if body.get("stream"):
            pieces = self.stream(request, body, tokens, meter)
            return StreamingResponse(pieces, media_type="text/event-stream")
        told = self.told(body) | ({"meter": meter} if meter else {})
        choice = {"message": {"content": self.text}, "finish_reason": "stop", "emotone": told}
        usage = {"completion_tokens": len(tokens)}
        return JSONResponse({"choices": [choice], "usage": usage, "emotone": told})

    def heard(self, place: int, token: str) -> dict[str, Any]:
        def shares(joy: float, fear: float) -> dict[str, float]:
            rest = (1 - joy - fear) / 3
            return {"anger": rest, "fear": fear, "joy": joy, "sadness": rest, "neutral": rest}

        loud = 0.1 + 0.7 * (place % 5) / 5
        after = shares(0.1, loud) if place % 7 == 3 else shares(loud, 0.05)
        return {"token": token, "before": shares(0.12, 0.08), "after": after}

    async def stream(
        self, request: Request, body: dict[str, Any], tokens: list[str], meter: list[Any]
    ) -> AsyncIterator[str]:
        def event(delta: dict[str, Any], finish: str | None = None, **more: Any) -> str:
            choice = {"index": 0, "delta": delta, "finish_reason": finish}
            return f"data: {json.dumps({'choices': [choice], **more}, ensure_ascii=False)}\n\n"

        delay = 0.3 if body["model"] == "slow" else self.delay
        try:
            for i, token in enumerate(tokens):
                heard = meter[max(0, i - 1) : i]  # the meter lags by a token
                yield event({"content": token}, **({"emotone": {"meter": heard}} if heard else {}))
                await asyncio.sleep(delay)
                if await request.is_disconnected():
                    return
            yield event({}, "stop", emotone=self.told(body) | {"meter": meter[-1:]})
            yield f"data: {json.dumps({'choices': [], 'usage': {'completion_tokens': 9}})}\n\n"
            yield "data: [DONE]\n\n"
        finally:
            self.left += 1


def serve(app: Any) -> tuple[str, Any]:
    """Serve an application from a thread; return its address, and what stops it."""
    own = socket.socket()
    own.bind(("127.0.0.1", 0))
    own.listen()  # a page that comes before the thread has begun waits and is not refused
    config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([own],), daemon=True)
    thread.start()

    def stop() -> None:
        server.should_exit = True
        thread.join(5)
        own.close()

    return f"http://127.0.0.1:{own.getsockname()[1]}", stop


# -- the browser -----------------------------------------------------------------------------------

EVENTS = """
window.heardViolations = [];
document.addEventListener("securitypolicyviolation", (event) => {
  window.heardViolations.push(`${event.effectiveDirective} ${event.blockedURI} ${event.sample}`);
});
"""
UNFOLD = "all => all.forEach((e) => { e.open = true; })"
expect = sync_api.expect


class Window:
    """A browser with one page for each set of options, and what went wrong on them."""

    def __init__(self, browser: Any) -> None:
        self.browser = browser
        self.pages: dict[str, Any] = {}
        self.faults: list[str] = []

    def page(self, **options: Any) -> Any:
        name = json.dumps(options, sort_keys=True)
        if name not in self.pages:
            context = self.browser.new_context(**options)
            context.set_default_timeout(1000 * PATIENCE)
            context.grant_permissions(["clipboard-read", "clipboard-write"])
            page = self.pages[name] = context.new_page()
            page.add_init_script(EVENTS)
            page.on("pageerror", lambda error: self.faults.append(str(error)))
            page.on("dialog", self.dismiss)
        return self.pages[name]

    def dismiss(self, dialog: Any) -> None:
        self.faults.append(dialog.message)
        dialog.dismiss()


@pytest.fixture(scope="module")
def window() -> Iterator[Window]:
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield Window(browser)
        browser.close()


@pytest.fixture(scope="module")
def served() -> Iterator[Fake]:
    fake = Fake()
    fake.address, stop = serve(fake.app())
    yield fake
    stop()


@pytest.fixture
def fake(served: Fake) -> Fake:
    served.begin()
    return served


@pytest.fixture
def visit(window: Window, fake: Fake) -> Iterator[Callable[..., Any]]:
    """Open the page; afterwards no script may have failed and no rule of the page been broken."""
    pages: list[Any] = []
    window.faults.clear()

    def visit(path: str = "/", *, ready: bool = True, address: str = "", **options: Any) -> Any:
        size = {"width": 1280, "height": 800}
        page = window.page(**{"locale": "en-US", "viewport": size, **options})
        page.goto("about:blank")
        page.goto((address or fake.address) + path)
        pages.append(page)
        if ready:
            expect(page.locator("#send")).to_be_enabled()
        return page

    yield visit
    for page in pages:
        window.faults += page.evaluate("window.heardViolations")
        page.evaluate("localStorage.clear(); sessionStorage.clear()")
    assert window.faults == []


def send(page: Any, post: str = "I start a new job on Monday!") -> None:
    page.fill("#post", post)
    page.press("#post", "Enter")


def written(page: Any, count: int = 1) -> Any:
    """The last of so many replies, once it is whole."""
    replies = page.locator("#turns .assistant:not([aria-busy])")
    expect(replies).to_have_count(count)
    return replies.last


def set_slider(page: Any, name: str, value: float) -> None:
    page.get_by_role("slider", name=name, exact=True).fill(str(value))


def copied(page: Any) -> str:
    expect(page.locator("#toast")).not_to_be_empty()
    return page.evaluate("navigator.clipboard.readText()")


# -- a conversation --------------------------------------------------------------------------------


def test_a_reply_comes_in_pieces_and_is_tinted(visit: Any, fake: Fake):
    page = visit()
    page.fill("#mix", "joy:60 + fear:20")
    send(page)
    reply = written(page)
    expect(reply.locator("> .text")).to_have_text(fake.text)
    tokens = reply.locator("> .text .token")
    assert tokens.count() == len(fake.text.split(" "))
    assert tokens.nth(4).evaluate("e => getComputedStyle(e).backgroundColor") != "rgba(0, 0, 0, 0)"
    expect(reply.locator(".legend")).to_contain_text("joy 12% →")
    expect(reply.locator(".facts")).to_contain_text("seed 4711 · dose joy 1.25 · 9 tokens")
    expect(page.locator("#live")).to_contain_text(fake.text)
    expect(page.locator("#post")).to_be_focused()
    body = fake.last
    assert body["emotion"] == "fear:20 + joy:60"  # in the order of the labels
    assert body["stream"] is True
    assert body["emotion_meter"] is True
    assert "seed" not in body


def test_keys_walk_through_what_was_heard(visit: Any):
    page = visit()
    page.fill("#mix", "joy:60")
    send(page)
    reply = written(page)
    reply.locator("> .text").press("ArrowRight")
    reply.locator("> .text").press("ArrowRight")
    expect(reply.locator(".spoken")).to_have_text("a: joy 24% (before the push 12%)")


def test_tokens_that_are_parts_of_signs_find_their_place(visit: Any):
    align = """async ([text, tokens]) => {
      const { align } = await import("/page/meter.js");
      return align(text, tokens.map((token) => ({ token })))
        .map((place) => place && text.slice(place.from, place.to));
    }"""
    rows = [" Hello", " \ufffd", "\ufffd", "\ufffd", " there", "nowhere", "。", "你"]
    heard = visit().evaluate(align, ["Hello 🙂 there。你好", rows])
    assert heard == ["Hello", None, None, None, " 🙂 there", None, "。", "你"]


def test_a_conversation_goes_on_and_begins_anew(visit: Any, fake: Fake):
    page = visit()
    send(page, "one")
    written(page)
    page.eval_on_selector_all("details", UNFOLD)
    page.fill("#halflife", "2")
    page.fill("#mix", "sad:30")
    send(page, "two")
    written(page, 2)
    assert [m["content"] for m in fake.last["messages"]] == ["one", fake.text, "two"]
    page.fill("#mix", "joy:10")
    send(page, "three")
    written(page, 3)
    assert fake.last["mood"] == {"half_life": 2}
    assert fake.last["messages"][2] == {"role": "user", "content": "two", "emotion": "sadness:30"}
    page.click("#clear")
    expect(page.locator("#turns > li")).to_have_count(0)
    expect(page.locator("#welcome")).to_be_visible()


def test_shift_enter_begins_a_line_and_signs_being_typed_send_nothing(visit: Any, fake: Fake):
    page = visit()
    page.type("#post", "a")
    page.press("#post", "Shift+Enter")
    page.type("#post", "b")
    page.dispatch_event("#post", "keydown", {"key": "Enter", "isComposing": True})
    assert fake.asked == []
    page.press("#post", "Enter")
    written(page)
    assert fake.last["messages"][-1]["content"] == "a\nb"


def test_the_best_of_several_is_no_stream(visit: Any, fake: Fake):
    page = visit()
    page.check("#best")
    send(page)
    expect(written(page).locator(".token").first).to_be_visible()
    assert "stream" not in fake.last
    assert fake.last["emotion_meter"] is True


def test_escape_stops_and_what_was_written_stays(visit: Any, fake: Fake):
    page = visit()
    page.select_option("#model", "slow")
    expect(page.locator("#send")).to_be_enabled()
    send(page)
    expect(page.locator("#turns .assistant .text")).to_contain_text("What a")
    expect(page.locator("#stop")).to_be_visible()
    page.keyboard.press("Escape")
    expect(written(page)).to_contain_text("Stopped.")
    until(lambda: fake.left == 1)  # the server's side ended too
    assert len(written(page).locator("> .text").inner_text()) < len(fake.text)


def test_another_reply_takes_the_next_seed(visit: Any, fake: Fake):
    page = visit()
    send(page)
    written(page).get_by_role("button", name="Keep this seed").click()
    expect(page.locator("#seed")).to_have_value("4711")
    page.get_by_role("button", name="Another reply").click()
    until(lambda: len(fake.asked) == 2)
    written(page)
    assert fake.last["seed"] == 4712
    assert len(fake.last["messages"]) == 1
    expect(page.locator("#turns > li")).to_have_count(2)


def test_a_refusal_is_shown_and_the_post_comes_back(visit: Any, fake: Fake):
    page = visit()
    fake.error = "64 requests wait already; try again in a few seconds"
    send(page, "hello")
    expect(page.locator("#banner")).to_contain_text(fake.error)
    expect(page.locator("#post")).to_have_value("hello")
    expect(page.locator("#turns > li")).to_have_count(0)
    fake.error = ""
    page.press("#post", "Enter")
    written(page)
    expect(page.locator("#banner")).to_be_hidden()


def test_notes_and_care_stand_below(visit: Any, fake: Fake):
    page = visit()
    fake.notes, fake.care = ["'happy' read as joy"], "Please talk to somebody."
    send(page)
    expect(written(page).locator(".note")).to_have_text("'happy' read as joy")
    expect(page.locator(".care")).to_have_text("Please talk to somebody.")


def test_a_wrong_number_is_not_sent(visit: Any, fake: Fake):
    page = visit()
    page.eval_on_selector_all("details", UNFOLD)
    for field, value in (("#temperature", "99"), ("#seed", "-3"), ("#longest", "9999")):
        page.fill(field, value)
        send(page, "hello")
        expect(page.locator("#banner")).to_contain_text("not allowed")
        expect(page.locator("#post")).to_have_value("hello")
        page.fill(field, "")
        page.click("#dismiss")
    assert fake.asked == []


# -- moods -----------------------------------------------------------------------------------------


def test_sliders_and_text_say_the_same(visit: Any):
    page = visit()
    set_slider(page, "joy", 60)
    set_slider(page, "fear", -20)
    expect(page.locator("#mix")).to_have_value("fear:-20 + joy:60")
    page.click("#copymix")
    assert copied(page) == "fear:-20 + joy:60"
    page.fill("#mix", "happy:40 + 平静:10")
    expect(page.get_by_role("slider", name="joy", exact=True)).to_have_value("40")
    expect(page.get_by_role("slider", name="calm", exact=True)).to_have_value("10")
    page.press("#mix", "Tab")
    expect(page.locator("#mix")).to_have_value("joy:40 + calm:10")
    page.get_by_role("button", name="Set joy to 0").click()
    expect(page.locator("#mix")).to_have_value("calm:10")
    calm = page.get_by_role("slider", name="calm", exact=True)
    calm.press("0")
    expect(page.locator("#mix")).to_have_value("")
    calm.dblclick(position={"x": 5, "y": 18})
    expect(page.locator("#mix")).to_have_value("")


def test_a_wrong_text_gets_a_sentence(visit: Any):
    page = visit()
    set_slider(page, "joy", 60)
    for text, problem in (
        ("joy:200", "outside -100 to 100"),
        ("joy:x", "not a number"),
        ("glee:5", "does not know “glee”"),
        ("joy + happy", "named twice"),
        ("joy, fear", "cannot be read"),
        ("joy -> " * 9, "at most"),
    ):
        page.fill("#mix", text)
        expect(page.locator("#mixproblem")).to_contain_text(problem)
        expect(page.get_by_role("slider", name="joy", exact=True)).to_have_value("60")


def test_the_page_reads_mixes_as_the_library_does(visit: Any):
    texts = [
        *("joy", "joy:60", " Joy : 60 + fear:-20 ", "joy:+5", "joy:.5", "joy:5.", "ＪＯＹ：６０"),
        *("joy:60+fear", "joy:1e2", "joy:", ":5", "+", "joy++fear", "joy 60", "joy:60 fear:20"),
        *("joy:-0", "joy;fear", "joy|fear", "joy:60,5", "joy:100.5", "joy & fear", "no emotion"),
        *("happy", "joy + happy", "快乐:30", "joy: 60 + fear: +20", "+joy", "joy:60 +", "joy:0"),
    ]
    read = """async ([texts, pairs]) => {
      const { readWay, writeWay } = await import("/page/mix.js");
      const order = [...new Set(pairs.map((pair) => pair[1]))];
      return texts.map((text) => {
        try {
          const { stations, places } = readWay(text, new Map(pairs));
          return writeWay(stations, order, places);
        }
        catch (problem) { return problem.key ? null : String(problem); }
      });
    }"""
    pairs = [(label, label) for label in EVERYDAY.labels] + list(EVERYDAY.aliases.items())

    def by_library(text: str) -> str | None:
        try:
            mix = MixText.read(text).within(EVERYDAY)[0]
        except EmotoneError:
            return None
        return str(mix) if any(mix.intensities().values()) else ""

    assert visit().evaluate(read, [texts, pairs]) == [by_library(text) for text in texts]


def test_the_page_reads_ways_as_the_server_does(visit: Any):
    ways = [
        *("joy->fear", "joy:0 -> joy:80 @ 24", "joy @5 → fear@ 9 -> none @40", "joy @ 5"),
        *("joy -> fear @", "joy -> fear @ -3", "joy -> fear @ 2.5", "joy -> fear @ 1 @ 2"),
        *("joy @ 8 -> fear @ 8", "joy -> fear @ 0", "joy @ 0 -> fear @ 1", "joy -> fear @ x"),
        *("joy -> fear @ 9 -> anger", "none -> none @ 5 -> joy", "@ 5 -> joy", "joy -> @ 5"),
    ]
    read = """async ([ways, labels]) => {
      const { readWay } = await import("/page/mix.js");
      const names = new Map(labels.map((label) => [label, label]));
      return ways.map((way) => {
        try { return readWay(way, names).places; }
        catch (problem) { return problem.key ? null : String(problem); }
      });
    }"""

    def by_server(way: str) -> list[int | None] | None:
        try:
            feeling = moods.read(way)
        except EmotoneError:
            return None
        return list(feeling.places or [None] * len(feeling.frames))

    assert visit().evaluate(read, [ways, EVERYDAY.labels]) == [by_server(way) for way in ways]


def test_a_station_may_have_a_place_in_tokens(visit: Any, fake: Fake):
    page = visit()
    page.fill("#mix", "joy:20 -> fear:30 @ 9 -> joy:80")
    expect(page.locator("#place")).to_have_value("")
    page.get_by_role("radio", name="End").check(force=True)
    page.fill("#place", "24")
    expect(page.locator("#mix")).to_have_value("joy:20 -> fear:30 @ 9 -> joy:80 @ 24")
    page.fill("#place", "9")
    expect(page.locator("#mixproblem")).to_contain_text("must rise")
    send(page)
    written(page)
    assert fake.last["emotion"] == "joy:20 -> fear:30 @ 9 -> joy:80 @ 24"
    page.get_by_role("radio", name="2").check(force=True)
    expect(page.locator("#place")).to_have_value("9")
    page.uncheck("#way")
    expect(page.locator("#placebox")).to_be_hidden()
    expect(page.locator("#mix")).to_have_value("fear:30")


def test_levels_of_empathy_are_asked_of_models_that_take_them(visit: Any, fake: Fake):
    page = visit()
    expect(page.locator("#empathybox")).to_be_hidden()
    page.select_option("#model", "warm")
    page.check("#empathy")
    page.select_option("#reaction", "1")
    page.get_by_label("Understanding").select_option("none")
    send(page)
    written(page)
    asked = "reaction:1 interpretation:0 exploration:2"
    assert fake.last["empathy"] == asked
    assert str(EmpathyLevels.parse(asked)) == asked
    page.click("#share")
    other = visit("/#" + urlsplit(copied(page)).fragment)
    expect(other.locator("#model")).to_have_value("warm")
    expect(other.locator("#reaction")).to_have_value("1")
    send(other)
    written(other)
    assert fake.last["empathy"] == asked
    other.uncheck("#empathy")
    expect(other.locator("#levels")).to_be_hidden()
    send(other)
    written(other, 2)
    assert "empathy" not in fake.last
    other.check("#empathy")
    other.select_option("#model", "full")
    send(other)
    written(other, 3)
    assert "empathy" not in fake.last


def test_the_pad_sets_the_sliders_and_follows_them(visit: Any):
    page = visit()
    pleasant = page.get_by_role("slider", name="How pleasant")
    lively = page.get_by_role("slider", name="How lively")
    for key in ("ArrowRight",) * 10 + ("ArrowUp",) * 6:
        pleasant.press(key)
    expect(pleasant).to_have_value("50")
    expect(lively).to_have_value("30")
    names = re.findall("[a-z]+", page.locator("#mix").input_value())
    assert 1 <= len(names) <= 3
    assert set(names) <= {"joy", "pride", "amusement", "hope"}
    box = page.locator("#field").bounding_box()
    page.mouse.click(box["x"] + 0.2 * box["width"], box["y"] + 0.75 * box["height"])
    assert "sadness" in page.locator("#mix").input_value()
    page.click("#zero")
    expect(pleasant).to_have_value("0")
    set_slider(page, "anger", 100)
    assert int(pleasant.input_value()) < -40
    assert int(lively.input_value()) > 60


def test_a_mood_may_change_through_the_reply(visit: Any, fake: Fake):
    page = visit()
    set_slider(page, "joy", 20)
    page.check("#way")
    set_slider(page, "joy", 80)
    expect(page.locator("#mix")).to_have_value("joy:20 -> joy:80")
    page.get_by_role("radio", name="Start").check(force=True)
    expect(page.get_by_role("slider", name="joy", exact=True)).to_have_value("20")
    set_slider(page, "joy", 0)
    send(page)
    written(page)
    assert fake.last["emotion"] == "none -> joy:80"
    page.uncheck("#way")
    expect(page.locator("#mix")).to_have_value("")


def test_a_model_of_classes_and_one_without(visit: Any, fake: Fake):
    page = visit()
    page.fill("#mix", "sadness:30 + joy:60")
    page.select_option("#model", "classes")
    expect(page.locator("#modelnote")).to_contain_text("single emotions")
    expect(page.locator("#mix")).to_have_value("sadness:100")
    page.get_by_role("radio", name="anger").check(force=True)
    expect(page.locator("#mix")).to_have_value("anger:100")
    expect(page.locator("#waybox")).to_be_hidden()
    expect(page.locator("#tintbox")).to_be_hidden()
    send(page)
    written(page)
    assert fake.last["emotion"] == "anger:100"
    assert "emotion_meter" not in fake.last
    page.select_option("#model", "plain")
    expect(page.locator("#modelnote")).to_contain_text("takes no emotion")
    expect(page.locator("#moods")).to_be_hidden()
    send(page)
    written(page, 2)
    assert "emotion" not in fake.last


# -- side by side ----------------------------------------------------------------------------------


def test_intensities_stand_side_by_side(visit: Any, fake: Fake):
    page = visit()
    page.click("#tab-compare")
    page.fill("#comparepost", "hello")
    page.check("#steps input[value='25']", force=True)
    expect(page.locator("#steps input:disabled")).to_have_count(1)  # four are the most
    page.click("#go")
    expect(page.locator("#columns article .facts")).to_have_count(4)
    names = ["No emotion", "joy 25", "joy 50", "joy 100"]
    expect(page.locator("#columns h2")).to_have_text(names)
    assert {body.get("emotion") for body in fake.asked} == {None, "joy:25", "joy:50", "joy:100"}
    assert len({body["seed"] for body in fake.asked}) == 1
    assert not any("stream" in body for body in fake.asked)


def test_systems_stand_side_by_side_each_as_it_can(visit: Any, fake: Fake):
    page = visit()
    page.fill("#mix", "sadness:30 + joy:60")
    page.click("#tab-compare")
    page.fill("#comparepost", "hello")
    page.get_by_label("Several systems").check()
    page.check("#rivals input[value=plain]", force=True)
    page.click("#go")
    expect(page.locator("#columns article .facts")).to_have_count(3)
    moods = {body["model"]: body.get("emotion") for body in fake.asked}
    assert moods == {"full": "joy:60 + sadness:30", "classes": "sadness:100", "plain": None}


# -- links and code --------------------------------------------------------------------------------


def test_a_link_restores_the_page_and_sends_nothing(visit: Any, fake: Fake):
    page = visit()
    page.fill("#mix", "joy:20 -> joy:80")
    page.fill("#seed", "5")
    page.fill("#post", 'He said "no" & left #1')
    page.click("#share")
    link = copied(page)
    assert parse_qs(urlsplit(link).fragment)["mix"] == ["joy:20 -> joy:80"]
    other = visit("/#" + urlsplit(link).fragment)
    expect(other.locator("#mix")).to_have_value("joy:20 -> joy:80")
    expect(other.locator("#seed")).to_have_value("5")
    expect(other.locator("#post")).to_have_value('He said "no" & left #1')
    other.evaluate("location.hash = 'model=classes&mix=anger&post=hi'")
    expect(other.locator("#mix")).to_have_value("anger:100")
    expect(other.locator("#model")).to_have_value("classes")
    expect(other.locator("#seed")).to_have_value("")
    other.evaluate("location.hash = 'model=nowhere'")
    expect(other.locator("#banner")).to_contain_text("nowhere")
    assert fake.asked == []


HARD = (
    "It's \"so\" hard: `x` $(rm -rf ~) \\n ${y} 早上好 🙂 \u2028 \\' ''' \"\"\" {} %s"
    " </script>\n#! end\\"
)
NODE = """
const create = async (body) => { console.log(JSON.stringify(body)); process.exit(); };
class OpenAI { chat = { completions: { create } }; }
"""


def snippet_of(page: Any, name: str) -> str:
    page.get_by_role("radio", name=name).check(force=True)
    page.click("#copysnippet")
    text = copied(page)
    assert text == page.locator("#snippet").evaluate("e => e.textContent")
    return text


def test_code_asks_the_same_whatever_the_post_holds(visit: Any, fake: Fake, tmp_path: Path):
    page = visit()
    page.fill("#mix", "joy:60 + fear:20")
    page.fill("#seed", "5")
    page.uncheck("#tint")
    page.click("#code summary")
    for count, whole in enumerate((False, True), 1):
        page.set_checked("#best", whole)
        page.fill("#post", HARD)
        texts = {name: snippet_of(page, name) for name in ("curl", "Python", "JavaScript")}
        page.press("#post", "Enter")
        written(page, count)

        words = shlex.split(texts["curl"])
        assert words[0] == "curl"
        assert f"{fake.address}/v1/chat/completions" in words
        assert json.loads(words[words.index("-d") + 1]) == fake.last

        nodes = ast.walk(ast.parse(texts["Python"]))
        calls = [node for node in nodes if isinstance(node, ast.Call)]
        create = next(call for call in calls if getattr(call.func, "attr", "") == "create")
        given = {word.arg: ast.literal_eval(word.value) for word in create.keywords}
        assert given.pop("extra_body") | given == fake.last

        node = shutil.which("node")
        if node is not None:
            program = tmp_path / "program.mjs"
            program.write_text(NODE + texts["JavaScript"].partition("\n")[2], encoding="utf-8")
            done = subprocess.run([node, program], capture_output=True, check=True)
            assert json.loads(done.stdout) == fake.last


def test_a_key_is_asked_for_and_not_written_into_code(visit: Any, fake: Fake):
    fake.key = "secret-key"
    page = visit(ready=False)
    page.fill("#key", "wrong")
    page.press("#key", "Enter")
    expect(page.locator("#keywrong")).to_be_visible()
    page.fill("#key", "secret-key")
    page.press("#key", "Enter")
    expect(page.locator("#send")).to_be_enabled()
    page.click("#code summary")
    places = {"curl": "$EMOTONE_API_KEY", "Python": "os.environ", "JavaScript": "process.env"}
    for name, place in places.items():
        page.get_by_role("radio", name=name).check(force=True)
        expect(page.locator("#snippet")).to_contain_text(place)
        assert "secret-key" not in page.content()
    assert "secret" not in page.evaluate("JSON.stringify(localStorage) + location.href")
    send(page)
    written(page)
    page.reload()
    expect(page.locator("#send")).to_be_enabled()


# -- the page itself -------------------------------------------------------------------------------


def test_it_waits_while_models_load(visit: Any, fake: Fake):
    fake.status = "loading"
    page = visit(ready=False)
    expect(page.locator("#banner")).to_contain_text("models are loading")
    until(lambda: fake.looks == 2)
    expect(page.locator("#banner")).to_contain_text("models are loading")
    fake.status = "ok"
    expect(page.locator("#send")).to_be_enabled()
    expect(page.locator("#banner")).to_be_hidden()


def test_the_interface_speaks_two_languages(visit: Any):
    page = visit(locale="zh-CN")
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    expect(page.get_by_role("button", name="发送")).to_be_visible()
    expect(page.get_by_role("slider", name="喜悦")).to_be_visible()
    page.fill("#mix", "joy:60")
    send(page, "你好")
    expect(written(page)).to_contain_text("换一个回复")
    page.click("#language")
    expect(page.locator("html")).to_have_attribute("lang", "en")
    expect(written(page).locator(".facts")).to_contain_text("seed 4711")
    expect(written(page).locator(".legend")).to_contain_text("joy")
    expect(page.get_by_role("slider", name="joy", exact=True)).to_have_value("60")
    page.reload()
    expect(page.get_by_role("button", name="Send")).to_be_visible()


def test_the_servers_sentences_are_read_in_chinese(visit: Any, fake: Fake):
    page = visit(locale="zh-CN")
    fake.error, fake.code = "64 requests wait already; try again in a few seconds", "overloaded"
    send(page, "你好")
    expect(page.locator("#banner")).to_contain_text("排队的请求太多")
    fake.error, fake.code = "the text is $& too long", "invalid_input"
    page.press("#post", "Enter")
    expect(page.locator("#banner")).to_contain_text("无法回复这样的输入：the text is $& too long")
    fake.error, fake.code = "something new", "new_code"
    page.press("#post", "Enter")
    expect(page.locator("#banner")).to_contain_text("something new")
    fake.error = ""
    self_harm = "the post may speak of self-harm: no anger, disgust or fear"
    fake.notes = ["'happy' read as joy", self_harm, "another note"]
    page.press("#post", "Enter")
    notes = written(page).locator(".note")
    expect(notes).to_have_text(["“happy”理解为喜悦", re.compile("自我伤害"), "another note"])
    page.click("#language")
    expect(notes).to_have_text(fake.notes)


def test_every_code_of_the_server_has_a_chinese_sentence():
    """And every note that a request of the page may get is known by its form."""
    page = (PAGE / "refusals.js").read_text("utf-8")
    known = set(re.findall(r"^  (\w+): \"", page, re.MULTILINE))
    rooms = [Path(str(files(name))) for name in ("emotone.server", "emotone.web")]
    code = "".join(file.read_text("utf-8") for room in rooms for file in room.glob("*.py"))
    codes = set(re.findall(r'code=(?:code or )?"(\w+)"', code)) | set(_CODES.values())
    codes |= {code for _, code in _HTTP.values()}
    assert codes == known
    assert f"/^{care.NOTE}$/" in page


def test_every_key_of_the_page_has_both_texts(visit: Any):
    texts = visit().evaluate("async () => (await import('/page/i18n.js')).TEXTS")
    assert all(len(pair) == 2 and all(pair) for pair in texts.values())
    holes = {
        key: [set(re.findall(r"\{\w+\}", text)) for text in pair] for key, pair in texts.items()
    }
    assert [key for key, (english, chinese) in holes.items() if english != chinese] == []
    code = "".join(file.read_text("utf-8") for file in PAGE.glob("*.js") if file.stem != "i18n")
    index = (PAGE / "index.html").read_text("utf-8")
    used = set(re.findall(r'data-t(?:-\w+)?="(\w+)"', index)) | set(
        re.findall(r'\bt\("(\w+)"', code)
    )
    assert used <= set(texts)
    assert [key for key in texts if f'"{key}"' not in code and key not in used] == []


def test_a_theme_is_kept(visit: Any):
    page = visit(color_scheme="light")
    colour = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(colour)
    page.click("#theme")
    dark = page.evaluate(colour)
    assert dark != light
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert page.evaluate(colour) == dark


SMALL = """() => [...document.querySelectorAll("button, select, textarea, input, summary")]
  .filter((e) => e.checkVisibility({ visibilityProperty: true }))
  .filter((e) => !e.closest("label.switch, #field, #ways"))
  .map((e) => [e.id || e.className || e.textContent, e.getBoundingClientRect()])
  .filter(([, box]) => box.height < 43.5 || box.width < 43.5 || box.left < 0 || box.right > 360.5)
  .map(([name, box]) => `${name} ${box.width}x${box.height} at ${box.left}`)"""
TOO_WIDE = "document.documentElement.scrollWidth - 360"


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_it_fits_a_phone(visit: Any, locale: str):
    size = {"width": 360, "height": 740}
    page = visit(viewport=size, has_touch=True, is_mobile=True, locale=locale)

    def fits() -> None:
        assert page.evaluate(SMALL) == []
        assert page.evaluate(TOO_WIDE) == 0

    fits()
    page.locator("#composer .sheet").tap()
    expect(page.get_by_role("slider", name=re.compile("^(joy|喜悦)$"))).to_be_visible()
    page.fill("#mix", "joy:60 -> fear:20")
    page.eval_on_selector_all("details", UNFOLD)
    expect(page.locator("#place")).to_be_visible()
    fits()
    page.fill("#mix", "joy:60 + fear:20")
    page.evaluate("document.querySelector('#empathybox').hidden = false")
    page.locator("#empathy").check()
    expect(page.locator("#levels")).to_be_visible()
    fits()
    page.keyboard.press("Escape")
    expect(page.locator("#panel")).to_be_hidden()
    expect(page.locator("#composer .sheet")).to_be_focused()
    expect(page.locator("#composer .sheet")).to_contain_text("joy:60")
    send(page)
    written(page)
    fits()
    page.locator("#tab-compare").tap()
    page.locator("#go").tap()
    expect(page.locator("#columns article .facts")).to_have_count(3)
    fits()
    page.locator("#comparing .sheet").tap()
    expect(page.locator("#closesheet")).to_be_focused()


def test_everything_has_a_name_and_is_reached_by_keys(visit: Any):
    page = visit()
    send(page)
    written(page)
    page.eval_on_selector_all("details", UNFOLD)
    nameless = """() => [...document.querySelectorAll("button, select, textarea, input")]
      .filter((e) => !(e.getAttribute("aria-label") || e.textContent.trim()
        || [...(e.labels ?? [])].some((label) => label.textContent.trim())))
      .map((e) => e.outerHTML)"""
    assert page.evaluate(nameless) == []
    page.evaluate("document.activeElement.blur()")
    reached = set()
    for _ in range(70):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.ariaLabel"))
    wanted = {"tab-chat", "model", "share", "language", "theme", "scroll", "post", "clear", "send"}
    wanted |= {"zero", "pleasant", "energy", "joy", "boredom", "mix", "copymix", "way", "best"}
    wanted |= {"tint", "seed", "temperature", "longest", "halflife", "guard", "snippet"}
    assert wanted <= reached


# -- texts that would like to be code --------------------------------------------------------------

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "'-alert(1)-'",
    "javascript:alert(1)",
    "<iframe srcdoc='<script>parent.alert(1)</script>'></iframe>",
    "</textarea><script>alert(1)</script>",
    '<a href="javascript:alert(1)">x</a>',
    "<style>*{background:url(//evil.example)}</style>",
    "${alert(1)}{{constructor.constructor('alert(1)')()}}",
    "__proto__",
    "constructor",
    "\u202e\u0000<b>\U0001f600</b>",
    "]]><math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
    'x" style="position:fixed;inset:0" onmouseover="alert(1)" data-t="send',
]
LIVE = "document.querySelectorAll('script, iframe, object, embed, form, img, a, style').length"
FOLLOW = """async (link) => {
  location.hash = link;
  await new Promise((done) => setTimeout(done, 5));
}"""


class Wild(Fake):
    """A server that says hostile texts wherever it says a text."""

    def __init__(self, hostile: Sequence[str]) -> None:
        super().__init__()
        self.hostile = hostile
        self.labels = ["joy", *hostile]
        wild = card(self.labels)
        wild["vectors"]["listens_to"] = self.labels
        wild["languages"] = list(hostile)
        for row in wild["data"]:
            row["aliases"] = list(hostile)
        self.cards = {"full": wild} | {text: card(self.labels, graded=False) for text in hostile}
        self.text = " ".join(hostile)
        self.notes = list(hostile)

    def told(self, body: dict[str, Any]) -> dict[str, Any]:
        said = self.hostile
        return {
            "emotion": said[0], "system": said[1], "model": said[-1], "seed": said[0],
            "dose": {text: text for text in said}, "care": said[1], "notes": self.notes,
            "backed_off": said[0],
        }  # fmt: skip

    def heard(self, place: int, token: str) -> dict[str, Any]:
        heard = {text: (i == place) * 0.9 for i, text in enumerate(self.labels)}
        return {"token": token, "before": heard, "after": heard}


def attack(page: Any, wild: Wild) -> None:
    """Put hostile texts into every field, and open all that shows them."""
    alive = page.evaluate(LIVE)
    page.eval_on_selector("#code", "e => { e.open = true; }")
    for i, text in enumerate(wild.hostile):
        for field in ("#mix", "#post"):
            page.fill(field, text)
        page.press("#post", "Enter")
        written(page, i + 1)
        shown = page.locator("#turns > .user .text").nth(i).evaluate("e => e.textContent")
        assert shown == text.strip()
    for name in ("curl", "python", "javascript"):
        page.check(f"#code input[value={name}]", force=True)
    page.click("#language")
    page.locator("#turns .token").first.hover()
    page.locator("#turns .token").first.click()
    page.click("#tab-compare")
    page.fill("#comparepost", wild.hostile[0])
    page.click("#go")
    expect(page.locator("#columns article[aria-busy]")).to_have_count(0)
    page.check("#ways input[value=models]")
    page.click("#go")
    expect(page.locator("#columns article .facts")).to_have_count(2)
    assert wild.last["model"] in wild.hostile
    for text in wild.hostile:
        fields = dict.fromkeys(("model", "mix", "empathy", "seed", "post"), text)
        page.evaluate(FOLLOW, urlencode(fields, errors="replace"))
    wild.error = wild.hostile[1]
    page.click("#tab-chat")
    page.fill("#seed", "")
    send(page)
    expect(page.locator("#banner")).to_contain_text(wild.hostile[1])
    assert page.evaluate(LIVE) == alive
    assert page.evaluate("Object.keys(Object.prototype)") == []


def test_no_text_becomes_code(visit: Any):
    wild = Wild(HOSTILE)
    address, stop = serve(wild.app())
    try:
        attack(visit(address=address), wild)
    finally:
        stop()


def test_the_page_writes_no_markup_and_names_no_other_site():
    words = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(")
    for file in PAGE.glob("*.js"):
        code = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert [word for word in (*words, "http:", "https:") if word in code] == [], file.name
    index = (PAGE / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<script(?![^>]*src=)| style=| on[a-z]+=|https?:", index)
    assert not re.search(r"url\(|@import", (PAGE / "style.css").read_text(encoding="utf-8"))


# -- the real server -------------------------------------------------------------------------------

LENGTH = re.compile(r"\b\d+ tokens")


def test_it_talks_to_the_real_server(visit: Any):
    from emotone.server.app import build
    from emotone.server.settings import Settings
    from emotone.systems import echo, steered

    worker = worker_of({"tiny": steered.tiny(), "echo": echo.tiny()})
    address, stop = serve(build(Settings(max_tokens=64), worker=worker))
    try:
        page = visit(address=address)
        page.eval_on_selector_all("details", UNFOLD)
        page.fill("#seed", "7")
        page.fill("#mix", "joy:20 -> joy:80")
        page.fill("#longest", "12")
        send(page)
        expect(written(page).locator(".facts")).to_contain_text(LENGTH)
        expect(written(page).locator(".legend .entry").first).to_be_visible()
        expect(page.locator("#banner")).to_be_hidden()
        page.fill("#mix", "joy:60")
        page.check("#best")
        page.get_by_role("button", name="Another reply").click()
        expect(page.locator("#turns .user .small")).to_have_text("joy:60")
        expect(written(page).locator(".facts")).to_contain_text(LENGTH)
        page.select_option("#model", "echo")
        expect(page.locator("#modelnote")).to_contain_text("takes no emotion")
        send(page, "the very same")
        expect(written(page, 2).locator("> .text")).to_have_text("the very same")
    finally:
        stop()


# -- the post chooses ------------------------------------------------------------------------------


class Hears(Fake):
    """A server that hears sadness in every post, and answers it in love where it is asked to."""

    def __init__(self) -> None:
        super().__init__()
        self.mix: str | None = "love:80"
        self.heard_as = "sadness"

    def told(self, body: dict[str, Any]) -> dict[str, Any]:
        asked = str(body.get("emotion", ""))
        if not asked.startswith("auto:"):
            return super().told(body)
        says = f"{self.heard_as} is heard in the post (0.87); {asked} answers"
        notes = [f"{says} in {self.mix}" if self.mix else f"{says} plainly", "another note"]
        auto = {
            "asked": asked, "heard": self.heard_as, "probability": 0.8731, "by": "listener",
            "chosen": self.mix,
        }  # fmt: skip
        mix = {"emotion": self.mix, "applied": {"auto": auto}}
        return super().told(body) | mix | {"notes": notes}


@pytest.fixture
def hears() -> Iterator[Hears]:
    fake = Hears()
    fake.address, stop = serve(fake.app())
    yield fake
    stop()


HANDS = ("#pad", "#emotions", "#waybox")


def test_the_post_chooses_while_the_switch_is_on(visit: Any, hears: Hears):
    page = visit(address=hears.address)
    page.fill("#mix", "joy:60")
    page.check("#auto")
    expect(page.locator("#mix")).to_have_value("auto:friend:80")
    for part in HANDS:
        expect(page.locator(part)).to_be_hidden()
    page.get_by_role("radio", name="Cheer up").check(force=True)
    set_slider(page, "Intensity", 60)
    expect(page.locator("#mix")).to_have_value("auto:cheer:60")
    page.get_by_role("radio", name="Feel with me").check(force=True)
    send(page)
    facts = written(page).locator(".facts")
    expect(facts).to_contain_text("heard in the post: sadness 87% · answered in love 80 · steered")
    expect(written(page).locator(".note")).to_have_text("another note")  # the facts say the other
    assert hears.last["emotion"] == "auto:mirror:60"
    expect(page.locator("#turns .user .small")).to_have_text("auto:mirror:60")
    page.click("#language")
    expect(facts).to_contain_text("从你的话中听到：悲伤 87% · 以喜爱 80 回复")
    expect(page.get_by_role("radio", name="感同身受")).to_be_checked()
    hears.mix = None
    send(page)
    expect(written(page, 2).locator(".facts")).to_contain_text("悲伤 87% · 不带情绪地回复")
    page.uncheck("#auto")
    expect(page.locator("#mix")).to_have_value("joy:60")
    for part in HANDS:
        expect(page.locator(part)).to_be_visible()
    page.check("#auto")
    expect(page.locator("#mix")).to_have_value("auto:mirror:60")
    page.click("#zero")
    expect(page.locator("#mix")).to_have_value("")
    expect(page.locator("#auto")).not_to_be_checked()


def test_links_code_and_columns_carry_the_switch(visit: Any, hears: Hears):
    page = visit(address=hears.address)
    page.fill("#mix", "auto:60")
    expect(page.locator("#auto")).to_be_checked()
    expect(page.get_by_role("radio", name="As a friend")).to_be_checked()
    page.press("#mix", "Tab")
    expect(page.locator("#mix")).to_have_value("auto:friend:60")
    page.click("#code summary")
    for name in ("curl", "Python", "JavaScript"):
        page.get_by_role("radio", name=name).check(force=True)
        expect(page.locator("#snippet")).to_contain_text("auto:friend:60")
    page.click("#tab-compare")
    page.fill("#comparepost", "hello")
    page.get_by_label("Several systems").check()
    page.check("#rivals input[value=slow]", force=True)
    page.click("#go")
    articles = page.locator("#columns article")
    expect(articles.filter(has_text="heard in the post")).to_have_count(2)
    asked = {body["model"]: body.get("emotion") for body in hears.asked}
    assert asked == {"full": "auto:friend:60", "slow": "auto:friend:60", "classes": None}
    page.click("#share")
    other = visit("/#" + urlsplit(copied(page)).fragment, address=hears.address)
    expect(other.locator("#auto")).to_be_checked()
    expect(other.locator("#strength")).to_have_value("60")


def test_models_that_cannot_hear_offer_no_switch(visit: Any, fake: Fake):
    page = visit()
    page.fill("#mix", "joy:60")
    page.check("#auto")
    page.select_option("#model", "warm")
    expect(page.locator("#autobox")).to_be_hidden()
    expect(page.locator("#mix")).to_have_value("joy:60")
    page.fill("#mix", "auto")
    expect(page.locator("#mixproblem")).to_have_text(
        "This model hears no posts; choose the mood yourself."
    )
    send(page)
    written(page)
    assert fake.last["emotion"] == "joy:60"
    for model in ("classes", "plain"):
        page.select_option("#model", model)
        expect(page.locator("#send")).to_be_enabled()
        expect(page.locator("#autobox")).to_be_hidden()
    page.select_option("#model", "full")
    expect(page.locator("#auto")).to_be_checked()  # as it was left
    expect(page.locator("#mix")).to_have_value("auto:friend:80")


def test_a_post_that_nothing_hears_gets_a_sentence(
    visit: Any, fake: Fake, monkeypatch: pytest.MonkeyPatch
):
    from types import SimpleNamespace

    from emotone.judges import hearing
    from emotone.types import Capabilities, Dialogue

    monkeypatch.setattr(hearing, "_judge_of", lambda lang: None)
    page = visit(locale="zh-CN")
    page.check("#auto")
    for taxonomy, sentences in (
        (EVERYDAY, ("这里没有什么能替此模型听出话中的情绪", "Nothing here hears the post")),
        (None, ("此模型不接受情绪", "This model takes no emotion.")),
    ):
        deaf: Any = SimpleNamespace(capabilities=Capabilities(taxonomy))
        with pytest.raises(EmotoneError) as refused:
            hearing.Hearing(deaf, Dialogue.of("你好")).mix(Auto.read("auto:friend:80"))
        fake.error, fake.code = str(refused.value), "unsupported"
        for sentence in sentences:
            send(page, "你好")
            expect(page.locator("#banner")).to_contain_text(sentence)
            page.click("#language")


def test_the_page_reads_auto_as_the_library_does(visit: Any):
    texts = [
        *(
            "auto",
            "auto:60",
            "auto:mirror",
            "auto:cheer:60",
            " Auto : Soothe : 62.5 ",
            "ＡＵＴＯ：６０",
        ),
        *("auto:", "auto::60", "auto:60:soothe", "auto:soothe:60:1", "auto:soothe:x1"),
        *("auto:-5", "auto:+5", "auto + joy", "joy:60 + auto", "auto:kind", "auto 60", "auto:0"),
        *(" Auto : Soothe : 62.5 ", "auto:101"),
    ]
    read = """async (texts) => {
      const { POLICIES, readWay, writeAuto } = await import("/page/mix.js");
      const read = (text) => {
        try {
          const { auto } = readWay(text, new Map([["joy", "joy"]]));
          return auto ? writeAuto(auto) : null;
        } catch (problem) { return problem.key ? null : String(problem); }
      };
      return [texts.map(read), POLICIES];
    }"""

    def by_library(text: str) -> str | None:
        try:
            auto = MixText.read(text).auto
        except EmotoneError:
            return None
        return str(auto) if auto else None

    heard, policies = visit().evaluate(read, texts)
    assert heard == [by_library(text) for text in texts]
    assert set(policies) == set(POLICIES)
    assert policies[0] == DEFAULT_POLICY


POINTS = [
    *(
        "valence:-40 arousal:70",
        "valence:60",
        "arousal:70",
        "dominance:-80",
        "valence",
        "arousal:0",
    ),
    *("valence:-60 arousal:60 dominance:-60", "Valence: 55 + AROUSAL : -75", "valence:-30 joy:20"),
    *("valence:80 dominance:70", "arousal:0", "valence:101", "valence:20 valence:10"),
    *(
        "valence:1 arousal:-1",
        "joy:20 + valence:10",
        "valence:90 arousal:90 dominance:90",
        "arousal:-100",
        "valence:x",
    ),
]


def test_the_page_reads_a_point_as_the_library_does(visit: Any):
    grid = [f"valence:{v} arousal:{a}" for v in range(-90, 91, 45) for a in range(-100, 101, 50)]
    texts = POINTS + grid
    read = """async ([texts, labels]) => {
      const { readWay } = await import("/page/mix.js");
      const { coordinates } = await import("/page/vad.js");
      const names = new Map(labels.map((label) => [label, label]));
      return texts.map((text) => {
        try {
          const [mix] = readWay(text, names).stations;
          return [Object.fromEntries(mix), coordinates(mix, labels).map(Math.round)];
        } catch (problem) { return problem.key ? null : String(problem); }
      });
    }"""
    page = visit()
    for taxonomy in TAXONOMIES.values():
        expected: list[Any] = []
        for text in texts if taxonomy is EVERYDAY else POINTS:
            try:
                mix = MixText.read(text).within(taxonomy)[0].intensities()
            except EmotoneError:
                expected.append(None)
            else:
                place = vad.coordinates(mix, taxonomy)
                expected.append([mix, [math.floor(value + 0.5) for value in place]])
        labels = [label for label in taxonomy.labels if label != "neutral"]
        heard = page.evaluate(read, [texts[: len(expected)], labels])
        assert heard == expected, taxonomy.name


def test_a_point_in_text_moves_the_pads_point(visit: Any):
    page = visit()
    page.check("#auto")
    page.fill("#mix", "valence:-40 arousal:70")
    expect(page.locator("#auto")).not_to_be_checked()
    expect(page.get_by_role("slider", name="How pleasant")).to_have_value("-39")
    expect(page.get_by_role("slider", name="How lively")).to_have_value("70")
    page.press("#mix", "Tab")
    expect(page.locator("#mix")).to_have_value("anger:71 + surprise:21")
    for text, problem in (
        ("valence:20 joy:10", "cannot be read"),
        ("joy:10 + valence:20", "stands beside an emotion"),
        ("valence:0", "lies near that point"),
        ("auto -> joy", "write it alone"),
        ("auto:kind", "friend, mirror, soothe or cheer"),
    ):
        page.fill("#mix", text)
        expect(page.locator("#mixproblem")).to_contain_text(problem)
    page.select_option("#model", "slow")  # has no calm and no boredom
    expect(page.locator("#send")).to_be_enabled()
    page.locator("#field").scroll_into_view_if_needed()
    box = page.locator("#field").bounding_box()
    page.mouse.click(box["x"] + 0.6 * box["width"], box["y"] + 0.9 * box["height"])
    expect(page.locator("#mixproblem")).to_contain_text("lies near that point")
    expect(page.locator("#mix")).to_have_value("")
    page.select_option("#model", "classes")
    page.fill("#mix", "valence:80 arousal:40")
    page.press("#mix", "Tab")
    expect(page.locator("#mix")).to_have_value("happiness:100")


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_the_switch_fits_a_phone(visit: Any, locale: str):
    size = {"width": 360, "height": 740}
    page = visit(viewport=size, has_touch=True, is_mobile=True, locale=locale)
    page.locator("#composer .sheet").tap()
    page.locator("#auto").check()
    expect(page.locator("#policies")).to_be_visible()
    assert page.evaluate(SMALL) == []
    assert page.evaluate(TOO_WIDE) == 0


def test_what_was_heard_is_text(visit: Any, hears: Hears):
    hears.heard_as, hears.mix = HOSTILE[0], f"{HOSTILE[1]}:80"
    page = visit(address=hears.address)
    alive = page.evaluate(LIVE)
    page.check("#auto")
    send(page)
    expect(written(page).locator(".facts")).to_contain_text(f"{HOSTILE[0]} 87%")
    assert page.evaluate(LIVE) == alive


def test_the_real_server_says_what_it_heard(visit: Any, monkeypatch: pytest.MonkeyPatch):
    from emotone.judges import hearing
    from emotone.server.app import build
    from emotone.server.settings import Settings
    from emotone.systems import steered

    monkeypatch.setattr(hearing, "_judge_of", lambda lang: None)
    monkeypatch.setattr(hearing, "LEAST", 0.0)
    worker = worker_of({"tiny": steered.tiny()})
    address, stop = serve(build(Settings(max_tokens=16), worker=worker))
    try:
        page = visit(address=address)
        page.fill("#seed", "7")  # with some seeds the tiny model ends at once
        page.check("#auto")
        for count, whole in enumerate((False, True), 1):
            page.set_checked("#best", whole)
            send(page)
            facts = written(page, count).locator(".facts")
            expect(facts).to_have_text(re.compile(r"^heard in the post: \w+ \d+% · answered "))
            expect(written(page, count).locator(".note", has_text="is heard")).to_have_count(0)
    finally:
        stop()


if __name__ == "__main__":  # try the page by hand
    fake = Fake()
    fake.delay = 0.05
    print(serve(fake.app())[0], flush=True)
    threading.Event().wait()
