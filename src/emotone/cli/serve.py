"""`emotone serve`: an OpenAI-compatible server with `emotion` as a field, and a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emotone.cli import options


def serve(
    config: Annotated[
        Path | None, typer.Option("--config", help="TOML file of settings; flags overrule it.")
    ] = None,
    host: Annotated[str | None, typer.Option("--host", help="Address (127.0.0.1).")] = None,
    port: Annotated[int | None, typer.Option("--port", "-p", help="Port (8000); 0: any.")] = None,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", help="NAME, or NAME=SYSTEM[:FOLDER]; default: all here."),
    ] = None,
    emotion: Annotated[
        str | None, typer.Option("--emotion", "-e", help="Mood of requests that name none.")
    ] = None,
    api_keys: Annotated[
        Path | None, typer.Option("--api-keys", help="File with one API key a line.")
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option("--allow-host", help="Name that clients may call it by.")
    ] = None,
    cors_origin: Annotated[
        list[str] | None, typer.Option("--cors-origin", help="Site whose pages may call it.")
    ] = None,
    rows: Annotated[int | None, typer.Option("--rows", help="Replies written at once.")] = None,
    queue: Annotated[int | None, typer.Option("--queue", help="Requests that may wait.")] = None,
    rate: Annotated[int | None, typer.Option("--rate", help="Requests a minute of a key.")] = None,
    device: Annotated[str | None, typer.Option("--device", help="auto, cpu, cuda, mps.")] = None,
    strict: Annotated[
        bool | None, typer.Option("--strict", help="Unknown fields are errors.")
    ] = None,
    care: Annotated[
        bool | None,
        typer.Option("--care/--no-care", help="Treat posts that speak of self-harm with care."),
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    engine: Annotated[
        str | None,
        typer.Option("--engine", help="vllm or llamacpp: a server of theirs behind this writes."),
    ] = None,
    url: Annotated[
        str, typer.Option("--url", help="The server to join; without it one of vLLM is started.")
    ] = "",
    moods: Annotated[
        Path | None,
        typer.Option("--moods", help="Mood adapters that the engine has: their file or folder."),
    ] = None,
    vllm: Annotated[
        str,
        typer.Option("--vllm", help="What starts vLLM, such as 'PATH/vllm serve --dtype float32'."),
    ] = "vllm",
) -> None:
    """Serve replies at /v1, and a page to play with at /. Ends by Ctrl-C.

    With --engine vllm the replies are those of a vLLM server with the plug-in emotone-vllm, with
    --engine llamacpp those of a llama-server that has the files of `export gguf-lora --each`.
    """
    from emotone.emotions import MixText
    from emotone.errors import ModelMissing, UsageError

    try:
        from emotone.server.app import build, worker_of
        from emotone.server.settings import read_settings
        from emotone.web.listen import bind, listen
    except ImportError as error:
        raise ModelMissing(
            f"the server needs {error.name}; install it with pip install 'emotone[serve]'"
        ) from error

    if emotion:
        MixText.read(emotion)
    flags = {
        "host": host, "port": port, "models": model, "emotion": emotion, "api_keys": api_keys,
        "hosts": allow_host, "cors_origins": cors_origin, "rows": rows, "queue": queue,
        "rate": rate, "device": device, "strict": strict, "care": care,
    }  # fmt: skip
    settings, keys = read_settings(config, flags)
    if engine is not None or url or moods is not None:
        from emotone.server.front import LLAMACPP, VLLM, serve_before

        if engine not in (VLLM, LLAMACPP) or moods is None:
            raise UsageError(
                f"the engine is {engine!r} with the moods {moods}; give --engine {VLLM} or"
                f" {LLAMACPP}, and --moods FILE"
            )
        serve_before(engine, settings, keys, moods, url=url, command=vllm, ready=typer.echo)
        return
    own = bind(settings.host, settings.port)

    def ready(address: str) -> None:
        typer.echo(address)
        options.note(f"a page is at {address}/, the API at {address}/v1; Ctrl-C ends it")

    worker = worker_of(settings)
    listen(
        build(settings, keys, worker=worker),
        own,
        ready=ready,
        open_page="/" if open_ else None,
        death=lambda: worker.death,
    )
