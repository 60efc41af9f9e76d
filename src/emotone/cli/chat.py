"""`emotone chat`: a conversation in the terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from emotone.cli import options

if TYPE_CHECKING:
    from emotone.door import Door
    from emotone.emotions import EmotionMix
    from emotone.types import Decoding, EmpathyLevels, Post

_HELP = (
    "Write a message; /emotion joy:60 changes the mood, /emotion alone clears it, /empathy "
    "reaction:2 interpretation:1 exploration:0 asks emprl for empathy, /again answers anew, "
    "/clear forgets the conversation, /quit ends it."
)


@options.with_decoding
def chat(
    emotion: options.Emotion = None,
    empathy: options.Empathy = None,
    system: options.System = "steered",
    model: options.Model = None,
    lang: options.Lang = None,
    device: options.Device = "auto",
    settings: options.Set = None,
    *,
    decoding: options.Decoding,
) -> None:
    """Talk with a system and change its mood between turns.

    With empathy levels a reply appears whole, as it is chosen among several.
    """
    from emotone.errors import UsageError
    from emotone.requests import check_request
    from emotone.types import Post, Speaker

    asked = options.read_emotion(emotion)
    levels = options.read_empathy(empathy)
    door = options.open_door(system, model, device, settings, lang or (None if model else "en"))
    capabilities = door.capabilities
    mix = options.emotion_of(asked, capabilities)
    check_request(system, capabilities, [], [], [levels], decoding)
    posts: list[Post] = []
    turn = 0
    options.note(_HELP)
    while (line := _ask(mix, levels)) not in (None, "/quit", "/exit"):
        command, rest = (*line.split(maxsplit=1), "", "")[:2]
        try:
            if not line:
                continue
            if command == "/emotion":
                mix = options.emotion_of(rest or None, capabilities)
                continue
            if command == "/empathy":
                asked_levels = options.read_empathy(rest or None)
                check_request(system, capabilities, [], [], [asked_levels])
                levels = asked_levels
                continue
            if command == "/clear":
                posts.clear()
                continue
            if command == "/again":
                if not posts:
                    options.note("there is nothing to answer again; write a message first")
                    continue
                posts.pop()
            elif line.startswith("/"):
                options.note(f"unknown command {command!r}; {_HELP}")
                continue
            else:
                posts.append(Post(line))
            text = _answer(door, posts, mix, levels, decoding.seed + turn, decoding)
            turn += 1
            posts.append(Post(text or "...", Speaker.ASSISTANT))
        except UsageError as error:
            # One wrong line must not end a conversation.
            options.note(str(error))
            if posts and posts[-1].speaker is Speaker.USER:
                posts.pop()


def _ask(mix: EmotionMix | None, levels: EmpathyLevels | None) -> str | None:
    """Read a line of the user, after a prompt with what is asked of the replies."""
    if sys.stdin.isatty():
        wishes = ", ".join(str(wish) for wish in (mix, levels) if wish)
        prompt = f"[{wishes}] > " if wishes else "> "
        print(prompt, end="", file=sys.stderr, flush=True)
    line = sys.stdin.readline()
    return line.removeprefix("\ufeff").strip() if line else None  # a mark of UTF-8 is no text


def _answer(
    door: Door,
    posts: list[Post],
    mix: EmotionMix | None,
    levels: EmpathyLevels | None,
    seed: int,
    decoding: Decoding,
) -> str:
    from emotone.types import Dialogue

    capabilities = door.capabilities
    dialogue = Dialogue(tuple(posts if capabilities.history else posts[-1:]))
    if capabilities.streaming and levels is None:
        pieces: list[str] = []
        for piece in door.stream(dialogue, mix, seed=seed, decoding=decoding):
            typer.echo(piece, nl=False)
            sys.stdout.flush()
            pieces.append(piece)
        typer.echo("")
        return "".join(pieces)
    text = door.reply(dialogue, mix, empathy=levels, seed=seed, decoding=decoding).text
    typer.echo(text)
    return text
