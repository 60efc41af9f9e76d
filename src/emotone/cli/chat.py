"""`emotone chat`: a conversation in the terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from emotone.cli import interrupt_answered, options
from emotone.cli.progress import waiting

if TYPE_CHECKING:
    from emotone.door import Door
    from emotone.emotions import Auto, EmotionMix
    from emotone.types import Decoding, EmpathyLevels, Post

#: Command -> what follows it, and what it does. A letter's case does not matter.
_COMMANDS = {
    "/emotion": ("joy:60 + fear:20", "changes the mood; alone it clears it"),
    "/empathy": ("reaction:2 interpretation:1 exploration:0", "asks for empathy; alone no more"),
    "/again": ("", "answers the last message anew"),
    "/undo": ("", "takes back the last message and its reply"),
    "/clear": ("", "forgets the conversation"),
    "/save": ("FILE", "writes the conversation as a line of messages, as chat APIs have them"),
    "/help": ("", "shows this list"),
    "/quit": ("", "ends the chat, as do /exit and Ctrl-D; Ctrl-C stops a reply"),
}
_ENDS = ("/quit", "/exit")
_START = "write a message; /help lists the commands, /quit ends the chat"
#: Gives the next line, after a prompt with what is asked of the replies; None at the end.
Ask = Callable[[str], str | None]


@dataclass(slots=True)
class _Chat:
    """A conversation and what is asked of its replies."""

    system: str
    door: Door
    decoding: Decoding
    mix: EmotionMix | Auto | None = None
    levels: EmpathyLevels | None = None
    posts: list[Post] = field(default_factory=list)
    turn: int = 0
    saved: set[Path] = field(default_factory=set)


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

    With empathy levels a reply appears whole, as it is chosen among several. Ctrl-C stops a reply
    and keeps the chat.
    """
    from emotone.errors import UsageError

    asked = options.read_emotion(emotion)
    levels = options.read_empathy(empathy)
    with waiting("loading the model"):
        door = options.open_door(system, model, device, settings, lang or (None if model else "en"))
        talk = _Chat(system, door, decoding)
        _ask_for(talk, options.emotion_of(asked, door.capabilities), levels)
    ask = _asker(talk)
    options.note(_START)
    while (line := _next(ask, talk)) is not None:
        command, rest = (*line.split(maxsplit=1), "", "")[:2]
        if command.lower() in _ENDS:
            return
        try:
            if line.startswith("/"):
                _obey(talk, command.lower(), rest)
            elif line:
                _answer(talk, line)
        except UsageError as error:
            # One wrong line must not end a conversation.
            options.note(str(error))


def _next(ask: Ask, talk: _Chat) -> str | None:
    from emotone.errors import DataError

    wishes = ", ".join(str(wish) for wish in (talk.mix, talk.levels) if wish)
    try:
        return ask(f"[{wishes}] > " if wishes else "> ")
    except UnicodeDecodeError as error:
        raise DataError(f"cannot read stdin ({error}); write the text in UTF-8") from error


def _asker(talk: _Chat) -> Ask:
    """Return what reads lines: with editing, history and completion where somebody types them."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return _plain_line
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import NestedCompleter
    from prompt_toolkit.output import create_output

    taxonomy = talk.door.capabilities.taxonomy
    labels = [] if taxonomy is None else [x for x in taxonomy.labels if x != taxonomy.neutral]
    after = {"/emotion": dict.fromkeys(labels)}
    # On stderr, as stdout is for replies; what was typed is kept in memory only.
    session: PromptSession[str] = PromptSession(
        output=create_output(stdout=sys.stderr),
        completer=NestedCompleter.from_nested_dict({name: after.get(name) for name in _COMMANDS}),
        complete_while_typing=False,
    )

    def line(prompt: str) -> str | None:
        while True:
            try:
                return session.prompt(prompt).strip()
            except EOFError:
                return None
            except KeyboardInterrupt:
                interrupt_answered()
                options.note("the line is dropped; /quit or Ctrl-D ends the chat")

    return line


def _plain_line(prompt: str) -> str | None:
    if sys.stdin.isatty():
        print(prompt, end="", file=sys.stderr, flush=True)
    line = sys.stdin.readline()
    return line.strip() if line else None


def _obey(talk: _Chat, command: str, rest: str) -> None:
    """Carry out a command and say what changed."""
    from emotone.errors import UsageError, unknown_name

    if command not in _COMMANDS:
        raise unknown_name("command", command, (*_COMMANDS, "/exit"))
    if rest and not _COMMANDS[command][0]:
        raise UsageError(f"{command} takes nothing behind it, but {rest!r} came; leave it out")
    if command == "/help":
        for name, (follows, text) in _COMMANDS.items():
            options.note(f"{name} {follows}".rstrip() + f": {text}")
    elif command == "/emotion":
        _ask_for(talk, options.emotion_of(rest or None, talk.door.capabilities), talk.levels)
        options.note(f"the mood is {talk.mix} from here on" if talk.mix else "no mood is asked now")
    elif command == "/empathy":
        _ask_for(talk, talk.mix, options.read_empathy(rest or None))
        asked = f"{talk.levels} is asked from here on" if talk.levels else "is not asked now"
        options.note(f"empathy {asked}")
    elif command == "/again":
        _again(talk)
    elif command == "/undo":
        options.note(f"taken back: {_pop_turn(talk)!r}")
    elif command == "/clear":
        talk.posts.clear()
        options.note("the conversation is forgotten")
    else:
        _save(talk, rest)


def _ask_for(talk: _Chat, mix: EmotionMix | Auto | None, levels: EmpathyLevels | None) -> None:
    """Take over what is asked of the replies, or refuse what the system lacks."""
    from emotone.emotions import EmotionMix
    from emotone.requests import check_request
    from emotone.types import Dialogue

    any_post = [Dialogue.of("hello")]
    capabilities = talk.door.capabilities
    fixed = mix if isinstance(mix, EmotionMix) else None  # what auto becomes is not known yet
    check_request(talk.system, capabilities, any_post, [fixed], [levels], talk.decoding)
    talk.mix, talk.levels = mix, levels


def _pop_turn(talk: _Chat) -> str:
    """Take the last message of the user and its reply out of the conversation."""
    from emotone.errors import UsageError

    if not talk.posts:
        raise UsageError("there is no message yet; write one first")
    *talk.posts, message, _ = talk.posts
    return message.text


def _again(talk: _Chat) -> None:
    before = talk.posts
    message = _pop_turn(talk)
    try:
        _answer(talk, message)
    finally:
        if len(talk.posts) < len(before):  # it failed or was stopped, so the old reply stays
            talk.posts = before


def _answer(talk: _Chat, text: str) -> None:
    """Answer a message; both become part of the conversation, unless nothing is said."""
    from emotone.types import Post, Speaker

    post = Post(text)
    reply, stopped = _written(talk, [*talk.posts, post])
    talk.turn += 1
    if stopped:
        options.note(
            "stopped; the conversation has the reply as far as it goes"
            if reply
            else "stopped before a word; the message is not part of the conversation"
        )
    if reply or not stopped:
        talk.posts = [*talk.posts, post, Post(reply.strip() or "...", Speaker.ASSISTANT)]


def _written(talk: _Chat, posts: list[Post]) -> tuple[str, bool]:
    """Print the reply to the last post; return it, and whether an interrupt cut it off."""
    from emotone.emotions import Auto
    from emotone.types import Dialogue

    note = options.note if isinstance(talk.mix, Auto) else None
    capabilities = talk.door.capabilities
    dialogue = Dialogue(tuple(posts if capabilities.history else posts[-1:]))
    seed, decoding = talk.decoding.seed + talk.turn, talk.decoding
    pieces: list[str] = []
    stopped = False
    try:
        if capabilities.streaming and talk.levels is None:
            stream = talk.door.stream(dialogue, talk.mix, seed=seed, decoding=decoding, note=note)
            with closing(stream):
                for piece in stream:
                    pieces.append(piece)
                    typer.echo(piece, nl=False)
        else:
            with waiting("writing the reply"):
                reply = talk.door.reply(
                    dialogue,
                    talk.mix,
                    empathy=talk.levels,
                    seed=seed,
                    decoding=decoding,
                    note=note,
                )
            pieces.append(reply.text)
            typer.echo(reply.text, nl=False)
    except KeyboardInterrupt:
        interrupt_answered()
        stopped = True
    if pieces or not stopped:
        typer.echo("")
    return "".join(pieces), stopped


def _save(talk: _Chat, name: str) -> None:
    from emotone.errors import UsageError
    from emotone.files import replacing

    path = Path(name).expanduser()
    if not name:
        raise UsageError("/save needs the name of a file, as in /save talk.jsonl")
    if not talk.posts:
        raise UsageError("there is nothing to save yet; write a message first")
    if path.is_file() and path.resolve() not in talk.saved:
        raise UsageError(f"{path} is there already; name another file")
    messages = [{"role": post.speaker.value, "content": post.text} for post in talk.posts]
    with replacing(path) as part:
        line = json.dumps({"messages": messages}, ensure_ascii=False)
        part.write_text(line + "\n", encoding="utf-8")
    talk.saved.add(path.resolve())
    options.note(f"{len(messages)} messages are in {path}")
