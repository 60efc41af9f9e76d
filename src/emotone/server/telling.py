"""What a server says of itself: models, emotions, health, figures."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from emotone import __version__
from emotone.emotions import FULL
from emotone.server.failures import ERRORS
from emotone.server.meters import Meters
from emotone.server.served import split_id
from emotone.server.settings import Settings
from emotone.server.worker import Worker


def router(worker: Worker, settings: Settings, meters: Meters) -> APIRouter:
    """Build the paths that tell."""
    telling = APIRouter()
    began = int(time.time())

    def row(name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": began, "owned_by": "emotone"}

    @telling.get("/v1/models")
    async def models() -> dict[str, Any]:
        """List the models; each may be asked with a mood in its name, as in "smollm2@joy:60"."""
        return {"object": "list", "data": [row(name) for name in worker.served]}

    @telling.get("/v1/models/{name}", responses=ERRORS)
    async def model(name: str) -> dict[str, Any]:
        """Describe one model."""
        return row(split_id(name, worker.served)[0].name)

    @telling.get("/v1/emotions", responses=ERRORS)
    async def emotions(model: str = "") -> dict[str, Any]:
        """List the emotions and moods of a model, how they may be written, and their vectors."""
        name = model or next(iter(worker.served))
        served = split_id(name, worker.served)[0]
        if not worker.ready:
            raise worker.unready()
        door = worker.door(served)
        responder = await asyncio.wrap_future(worker.call(lambda: door.responder))
        return emotions_of(served.name, responder, [lang for lang in door.languages if lang])

    @telling.get("/health")
    async def health() -> Response:
        """Whether replies are written now."""
        status = "dead" if worker.death else "ok" if worker.ready else "loading"
        row = {"status": status, "running": worker.running, "waiting": worker.pending}
        return JSONResponse(row, 200 if status == "ok" else 503)

    @telling.get("/version")
    async def version() -> dict[str, str]:
        """The version of emotone."""
        return {"version": __version__}

    @telling.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        """Figures for Prometheus."""
        return Response(meters.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @telling.get("/v1/settings", include_in_schema=False)
    async def limits() -> Mapping[str, Any]:
        """What the page needs to know."""
        return {
            "max_tokens": settings.max_tokens,
            "max_n": settings.max_n,
            "care": settings.care,
            "default": next(iter(worker.served)),
        }

    return telling


def emotions_of(name: str, responder: Any, languages: Sequence[str]) -> dict[str, Any]:
    """Build the answer of /v1/emotions."""
    capabilities = responder.capabilities
    taxonomy = capabilities.taxonomy
    vectors = getattr(responder, "vectors", None)
    labels = () if taxonomy is None else taxonomy.labels
    aliases: dict[str, list[str]] = {label: [] for label in labels}
    for alias, label in taxonomy.aliases.items() if taxonomy is not None else ():
        aliases.setdefault(label, []).append(alias)
    card = None
    if vectors is not None:
        card = {
            "model": vectors.card.model,
            "method": vectors.card.method,
            "site": vectors.site,
            "positions": vectors.card.positions,
            "data": vectors.card.data,
            "licence": vectors.card.notes.get("licence"),
            "judge": vectors.card.measured.get("judge"),
            "listens_to": [] if vectors.listener is None else list(vectors.listener.labels),
        }
    return {
        "object": "list",
        "model": name,
        "graded": capabilities.graded,
        "mixes": capabilities.mixes,
        "empathy": capabilities.empathy,
        "history": capabilities.history,
        "streaming": capabilities.streaming,
        "languages": list(languages or capabilities.languages),
        "data": [
            {
                "id": label,
                "object": "emotion",
                "aliases": aliases[label],
                "range": [-FULL, FULL] if capabilities.graded else [FULL, FULL],
                "calibrated": vectors is None or label in vectors.card.measured.get("doses", {})
                or label in vectors.card.curves,
            }
            for label in labels
        ],
        "vectors": card,
    }  # fmt: skip
