"""The page of a study and its API, as an ASGI application; needs the extra `serve`.

`GET /r/TOKEN` is the page of one rater's link. The API takes the token as `Authorization: Bearer`:
`GET /api/study` (what is asked), `GET /api/next` (where the rater is, and the next item), and
`POST /api/consent`, `/api/practised`, `/api/pause`, `/api/resume`, `/api/rate`
(`{"key", "place", "values", "seconds"}`), `/api/skip` (`{"key", "place", "reason", "note"}`) and
`/api/undo` (`{"key"}`). Every POST answers as `GET /api/next` does, after what it did is on the
disk. No system's name, no path and no number of an item in the file is in any answer.
"""

from __future__ import annotations

import functools
import json
import math
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib.resources import files
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from emotone.errors import DataError, EmotoneError, UsageError, kind_of_value, unknown_name
from emotone.human.design import Design, asked_words
from emotone.human.draw import Unit
from emotone.human.plan import minutes
from emotone.human.ratings import EVENTS, Act, Conflict, State, save, state_of, tell
from emotone.human.store import NotSaved, Rater, Store, rater_of_token, study_of, units_of
from emotone.types import is_unicode
from emotone.web.guard import Guard, failure, retry
from emotone.web.rate import Rate

#: Longest body, key and note.
BODY, KEY, NOTE = 16 * 1024, 100, 1000
#: Requests a second that a rater may make for long, and at once.
RATE, BURST = 20.0, 60.0
#: Seconds after which a client tries again what could not be saved.
RETRY = 5
#: No answer took longer, in seconds: a day.
LONGEST = 86_400.0

_KINDS = {".js": "text/javascript", ".css": "text/css", ".json": "application/json"}
_Call = Callable[[Rater, Mapping[str, Any]], Any]
_Answer = Callable[[Request], Awaitable[Response]]


def app(store: Store, *, hosts: Sequence[str] = ()) -> Guard:
    """Build the application.

    Args:
        store: The study, open for writing.
        hosts: Names beside those of loopback by which raters may call.
    """
    study, units = study_of(store), units_of(store)
    design = study.design
    limit = Rate(60 * RATE, burst=BURST)

    def routed(call: _Call, *, reads: bool = False) -> _Answer:
        return functools.partial(_answered, store, limit, call, reads)

    def shown(rater: Rater, _: Mapping[str, Any] | None = None) -> dict[str, Any]:
        return _state(state_of(store, rater, units), design)

    def about(rater: Rater, _: Mapping[str, Any]) -> dict[str, Any]:
        total = state_of(store, rater, units).total
        filled = {
            "items": str(total),
            "minutes": str(math.ceil(minutes(design, total, study.seconds))),
            "contact": study.contact,
        }
        return design.page(study.lang, filled)

    def told(kind: str) -> _Call:
        def event(rater: Rater, _: Mapping[str, Any]) -> dict[str, Any]:
            tell(store, rater, kind)
            return shown(rater)

        return event

    def acted(kind: str) -> _Call:
        def act(rater: Rater, body: Mapping[str, Any]) -> dict[str, Any]:
            save(store, rater, _act(kind, body, design))
            return shown(rater)

        return act

    posts = {kind: told(kind) for kind in EVENTS} | {k: acted(k) for k in ("rate", "skip", "undo")}
    routes = [
        Route("/r/{token}", functools.partial(_page, store), methods=["GET"]),
        Route("/static/{name}", _static, methods=["GET"]),
        Route("/api/study", routed(about, reads=True), methods=["GET"]),
        Route("/api/next", routed(shown, reads=True), methods=["GET"]),
        *(Route(f"/api/{name}", routed(call), methods=["POST"]) for name, call in posts.items()),
    ]
    return Guard(Starlette(routes=routes, exception_handlers={404: _nothing}), hosts)


async def _answered(
    store: Store, limit: Rate, call: _Call, reads: bool, request: Request
) -> Response:
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    try:
        body: Mapping[str, Any] = {} if reads else await _body(request)
        bearer = token.strip() if kind.lower() == "bearer" else ""
        rater = await run_in_threadpool(rater_of_token, store, bearer)
        if rater is None:
            return failure(401, "no rater has this key; use the link that you were sent")
        if limit.wait(str(rater.id)):
            return retry(failure(429, "too many requests at once; wait a little"), 1)
        return JSONResponse(await run_in_threadpool(call, rater, body))
    except NotSaved as error:
        print(f"emotone: {error}", file=sys.stderr)  # it names the file, which raters may not see
        return retry(
            failure(503, "this cannot be saved just now, and nothing was lost; try again"), RETRY
        )
    except Conflict as error:
        return failure(409, str(error))
    except _TooLong as error:
        return failure(413, str(error))
    except UsageError as error:
        return failure(400, str(error))
    except EmotoneError as error:
        print(f"emotone: {error}", file=sys.stderr)
        return failure(500, "the study cannot be read; tell the person who sent you the link")


class _TooLong(UsageError):
    """A body above the limit."""


async def _body(request: Request) -> Mapping[str, Any]:
    raw = b""
    async for part in request.stream():
        raw += part
        if len(raw) > BODY:
            raise _TooLong(f"the body is longer than {BODY} bytes; send one answer at a time")
    if not raw:
        return {}
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise DataError("the body is no JSON; send one object") from error
    if not isinstance(body, dict):
        raise DataError(f"the body is {kind_of_value(body)}; send one object")
    return body


def _act(kind: str, body: Mapping[str, Any], design: Design) -> Act:
    known = {
        "rate": ("key", "place", "values", "seconds"),
        "skip": ("key", "place", "reason", "note", "seconds"),
        "undo": ("key",),
    }[kind]
    for name in body:
        if name not in known:
            raise unknown_name("field", name[:KEY], known)
    key = _text(body, "key", KEY)
    if not key:
        raise DataError('"key" is missing; give each act a name of its own, such as a random one')
    if kind == "undo":
        return Act(kind, key)
    place, seconds = body.get("place"), body.get("seconds")
    if type(place) is not int or not 0 < place < 2**31:
        raise DataError(f'"place" is {str(place)[:KEY]!r}; give that of the item, from 1')
    if seconds is not None:
        number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
        if not number or not math.isfinite(seconds) or not 0 <= seconds <= LONGEST:
            raise DataError(f'"seconds" is {str(seconds)[:KEY]!r}; give 0 to {LONGEST:.0f}')
        seconds = float(seconds)
    if kind == "skip":
        reason = _text(body, "reason", KEY)
        reasons = [r.name for r in design.skip]
        if reason not in reasons:
            raise unknown_name("reason", reason, reasons)
        return Act(kind, key, place, {}, reason, _text(body, "note", NOTE), seconds)
    values = body.get("values")
    if not isinstance(values, dict):
        raise DataError(f'"values" is {kind_of_value(values)}; give an object: criterion -> value')
    return Act(kind, key, place, design.check_values(values), seconds=seconds)


def _text(body: Mapping[str, Any], name: str, most: int) -> str:
    value = body.get(name, "")
    if not isinstance(value, str) or len(value) > most or not is_unicode(value):
        raise DataError(f'"{name}" must be text of at most {most} characters')
    return value


def _state(state: State, design: Design) -> dict[str, Any]:
    item = None
    if state.unit is not None and state.consented:
        item = {"place": state.place, **_shown(state.unit, state.flipped, design)}
    return {
        "consented": state.consented,
        "practised": state.practised,
        "done": state.done,
        "total": state.total,
        "finished": state.done == state.total,
        "item": item,
    }


def _shown(unit: Unit, flipped: bool, design: Design) -> dict[str, Any]:
    replies = [unit.reply, unit.other_reply] if unit.other_reply else [unit.reply]
    return {
        "post": unit.post,
        "asked": asked_words(unit.asked, unit.taxonomy) if design.show_asked else None,
        "replies": replies[::-1] if flipped else replies,
    }


async def _page(store: Store, request: Request) -> Response:
    try:
        rater = await run_in_threadpool(rater_of_token, store, request.path_params["token"])
    except NotSaved:
        return retry(failure(503, "the study is busy; load the page again"), RETRY)
    if rater is None:
        return await _nothing(request)
    return _file("index.html", "text/html")


async def _static(request: Request) -> Response:
    name = request.path_params["name"]
    kind = next((kind for end, kind in _KINDS.items() if name.endswith(end)), None)
    if kind is None or name not in _pages():
        return await _nothing(request)
    return _file(name, kind)


async def _nothing(_request: Request, _error: Exception | None = None) -> Response:
    return PlainTextResponse("Nothing is here. Use the link that you were sent.\n", 404)


@functools.cache
def _pages() -> Mapping[str, bytes]:
    folder = files("emotone.human") / "page"
    return {place.name: place.read_bytes() for place in folder.iterdir() if place.is_file()}


def _file(name: str, kind: str) -> Response:
    return Response(_pages()[name], media_type=kind)
