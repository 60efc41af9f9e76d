"""Errors as OpenAI's clients know them."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse

from emotone.errors import (
    DataError,
    EmotoneError,
    MixError,
    ModelMissing,
    UnknownName,
    Unsupported,
    UsageError,
)
from emotone.server.worker import Overloaded, Unready
from emotone.web.guard import failure, retry

_CODES = {
    UnknownName: "unknown_name",
    MixError: "invalid_emotion",
    Unsupported: "unsupported",
    DataError: "invalid_input",
}


def error_of(error: Exception, *, wait: float = 2.0) -> JSONResponse:
    """Build the answer to a request that failed.

    Args:
        error: What it failed by; what is not ours is not told, for it may hold anything.
        wait: Seconds after which one may try again, where trying again helps.
    """
    if isinstance(error, Overloaded):
        return retry(failure(429, str(error), code="overloaded"), wait)
    if isinstance(error, Unready):
        return retry(failure(503, str(error), code="unavailable"), wait)
    if isinstance(error, UnknownName) and str(error).startswith("unknown model"):
        return failure(404, str(error), code="model_not_found", param="model")
    if isinstance(error, UsageError):
        code = next((code for kind, code in _CODES.items() if isinstance(error, kind)), "")
        return failure(400, str(error), code=code or "invalid_value")
    if isinstance(error, ModelMissing):
        return failure(503, str(error), code="model_missing")
    if isinstance(error, EmotoneError):
        return failure(500, str(error), code="failed")
    return failure(500, "the reply could not be written; the server's log says why", code="failed")


#: The errors of each path, for the OpenAPI.
ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"description": "What was asked cannot be meant."},
    401: {"description": "No valid key."},
    404: {"description": "No such model."},
    413: {"description": "Too large."},
    415: {"description": "Not JSON."},
    429: {"description": "Too many requests; Retry-After says when to come again."},
    503: {"description": "Models are loading."},
}
