"""`emotone verify`: does a mood act on a server, or is it silently plain?"""

from __future__ import annotations

import dataclasses
import json
import os
from typing import Annotated

import typer

from emotone.cli import options


def verify(
    url: Annotated[
        str, typer.Argument(help="Such as http://127.0.0.1:8000, or unix:/path/of/socket.")
    ],
    model: Annotated[
        str, typer.Option("--model", "-m", help="The same model here: name, folder or hub id.")
    ],
    emotion: options.Emotion = None,
    raw: options.Raw = None,
    vectors: Annotated[
        str,
        typer.Option(
            "--vectors", help="Vectors, or mood adapters, of the mood: file, folder or shipped set."
        ),
    ] = "",
    plain_name: Annotated[
        str, typer.Option("--plain-name", help="What the server calls the model; its first.")
    ] = "",
    mood_name: Annotated[
        str,
        typer.Option(
            "--mood-name",
            help="What it calls the model in the mood (NAME@MIX). The plain name: it is always so.",
        ),
    ] = "",
    system: Annotated[
        str | None,
        typer.Option("--system", help="System prompt of the probes; that of the vectors."),
    ] = None,
    tokens: Annotated[int, typer.Option("--tokens", help="Longest reply to a probe.")] = 24,
    tolerance: Annotated[
        float, typer.Option("--tolerance", help="Nats a token that may differ anyway.")
    ] = 0.05,
    device: options.Device = "auto",
    as_json: options.Json = False,
) -> None:
    """Prove that a mood acts on a server of OpenAI's API, by the same model in transformers.

    Says "acts" (exit code 0), "silently plain" (1) or "differs by x" (2); 3 where nothing could be
    told. Without --emotion the plain model is compared: "agrees" (0) or "differs by x" (2).
    A key is read from EMOTONE_API_KEY.
    """
    from emotone.cli.progress import bar, waiting
    from emotone.engines.asking import Asker
    from emotone.engines.mood import one_mood, open_moods_of
    from emotone.engines.mood_name import served_as
    from emotone.engines.reference import Reference
    from emotone.engines.verify import EXIT_CODES, Settings
    from emotone.engines.verify import verify as prove
    from emotone.engines.wire import Server
    from emotone.errors import UsageError
    from emotone.lm.chat import FRIEND, NO_SYSTEM
    from emotone.models import load_causal_lm
    from emotone.steering.find import give_adapters

    settings = Settings(tokens, tolerance)
    server = Server(url, os.environ.get("EMOTONE_API_KEY", ""))
    doses = options.read_doses(raw)
    mood = None
    loaded, source = None, ""
    if emotion is not None or doses is not None or vectors:
        loaded, source = open_moods_of(model, vectors)
        mood = one_mood(loaded, emotion, doses)
    plain = plain_name or Asker(server, tokens).models()[0]
    if doses is not None and not mood_name:
        raise UsageError("raw doses have no name on a server; add --mood-name")
    with waiting("loading the model"):
        lm = load_causal_lm(model, device=device)
        if loaded is not None:
            give_adapters(lm.model, loaded, source)
    named = system or (loaded.card.system_prompt if loaded and system is None else "") or FRIEND
    prompt = "" if named == NO_SYSTEM or system == "" else named
    moody = mood is not None and any(mood.doses.values())
    sides = 2 if moody and plain != mood_name else 1
    with bar("asking", sides * len(settings.posts)) as step:
        verdict = prove(
            server,
            Reference(lm, mood, prompt),
            plain_name=plain,
            mood_name=mood_name or served_as(plain, mood.emotion if mood else ""),
            settings=settings,
            progress=lambda _done, _total: step(1),
        )
    if as_json:
        row = {"says": str(verdict), **dataclasses.asdict(verdict)}
        typer.echo(json.dumps(row, ensure_ascii=False))
    else:
        typer.echo(str(verdict))
        options.note(f"compared by {verdict.way}, {verdict.compared} in all")
    if code := EXIT_CODES[verdict.outcome]:
        raise typer.Exit(code)
