"""`emotone chat`: a conversation in the terminal."""

from __future__ import annotations

import dataclasses
import sys
from typing import TYPE_CHECKING

import typer

from emotone.cli import options

if TYPE_CHECKING:
    from emotone.emotions import EmotionMix
    from emotone.protocols import Responder
    from emotone.types import Decoding, EmpathyLevels, Post

_HELP = (
    "Write a message; /emotion joy:60 changes the mood, /emotion alone clears it, /empathy "
    "reaction:2 interpretation:1 exploration:0 asks emprl for empathy, /again answers anew, "
    "/clear forgets the conversation, /quit ends it."
)


def chat(
    emotion: options.Emotion = None,
    empathy: options.Empathy = None,
    system: options.System = "steered",
    model: options.Model = None,
    lang: options.Lang = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    max_tokens: options.MaxTokens = None,
    temperature: options.Temperature = None,
    greedy: options.Greedy = False,
    beams: options.Beams = None,
    length_penalty: options.LengthPenalty = None,
    settings: options.Set = None,
) -> None:
    """Talk with a system and change its mood between turns.

    With empathy levels a reply appears whole, as it is chosen among several.
    """
    from emotone.errors import UsageError
    from emotone.types import Post

    options.check_emotion(emotion)
    levels = options.parse_empathy(empathy)
    chosen = options.decoding(seed, max_tokens, temperature, greedy, beams, length_penalty)
    responder = options.load(system, model, device, settings, lang)
    taxonomy = responder.capabilities.taxonomy
    mix = options.parse_emotion(emotion, taxonomy)
    options.check_empathy(levels, responder.capabilities, system)
    posts: list[Post] = []
    turn = 0
    options.note(_HELP)
    while True:
        line = _ask(mix, levels)
        if line is None or line in ("/quit", "/exit"):
            return
        try:
            if not line:
                continue
            if line.split()[0] == "/emotion":
                rest = line.removeprefix("/emotion").strip()
                mix = options.parse_emotion(rest, taxonomy) if rest else None
                continue
            if line.split()[0] == "/empathy":
                rest = line.removeprefix("/empathy").strip()
                asked = options.parse_empathy(rest or None)
                levels = options.check_empathy(asked, responder.capabilities, system)
                continue
            if line == "/clear":
                posts.clear()
                continue
            if line == "/again":
                if not posts:
                    options.note("there is nothing to answer again; write a message first")
                    continue
                posts.pop()
            elif line.startswith("/"):
                options.note(f"unknown command {line.split()[0]!r}; {_HELP}")
                continue
            else:
                posts.append(Post(line))
            text = _answer(
                responder,
                posts,
                mix,
                levels,
                dataclasses.replace(chosen, seed=chosen.seed + turn),
            )
            turn += 1
            posts.append(_assistant(text))
        except UsageError as error:
            # One wrong line must not end a conversation.
            options.note(str(error))
            if posts and posts[-1].speaker.value == "user":
                posts.pop()


def _ask(mix: EmotionMix | None, levels: EmpathyLevels | None) -> str | None:
    said = ", ".join(str(wish) for wish in (mix, levels) if wish)
    mood = f"[{said}] " if said else ""
    if sys.stdin.isatty():
        print(f"{mood}> ", end="", file=sys.stderr, flush=True)
    line = sys.stdin.readline()
    return line.strip() if line else None


def _assistant(text: str) -> Post:
    from emotone.types import Post, Speaker

    return Post(text or "...", Speaker.ASSISTANT)


def _answer(
    responder: Responder,
    posts: list[Post],
    mix: EmotionMix | None,
    levels: EmpathyLevels | None,
    decoding: Decoding,
) -> str:
    from emotone.protocols import StreamingResponder
    from emotone.types import Dialogue

    kept = tuple(posts) if responder.capabilities.history else tuple(posts[-1:])
    dialogue = Dialogue(kept)
    streams = responder.capabilities.streaming and levels is None
    if streams and isinstance(responder, StreamingResponder):
        pieces: list[str] = []
        for piece in responder.stream(dialogue, mix, decoding=decoding):
            typer.echo(piece, nl=False)
            sys.stdout.flush()
            pieces.append(piece)
        typer.echo("")
        return "".join(pieces)
    text = responder.reply([dialogue], [mix], decoding=decoding, empathy=[levels])[0].text
    typer.echo(text)
    return text
