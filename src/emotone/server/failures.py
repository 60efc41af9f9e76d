"""Errors as OpenAI's clients know them."""

from __future__ import annotations

from starlette.responses import JSONResponse

from emotone.errors import EmotoneError, ModelMissing, UnknownName, UsageError
from emotone.server.worker import Overloaded, Unready
from emotone.web.guard import failure, retry


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
        return failure(400, str(error))
    if isinstance(error, ModelMissing):
        return failure(503, str(error), code="model_missing")
    if isinstance(error, EmotoneError):
        return failure(500, str(error))
    return failure(500, "the reply could not be written; the server's log says why")
