"""From a dialogue to the token ids that a chat model reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from emotone.data.text import Lang
from emotone.emotions import EmotionMix
from emotone.errors import CheckpointError, Unsupported
from emotone.models.token_ids import rendered_ids
from emotone.types import Dialogue, Speaker

Turn = tuple[str, str]
"""Role and text of a message."""

#: What the user says first, to a template that wants that, where the assistant began.
_SILENCE = "..."


def prompt_ids(tokenizer: Any, dialogue: Dialogue, system: str | None = None) -> list[int]:
    """Return the token ids of a dialogue in the chat format, up to where the reply starts.

    Control tokens inside the texts (`<|im_end|>` and the like) stay plain text. For a template
    that refuses or drops a system prompt, it is put before the first post; for one that wants
    turns that alternate, the posts of one speaker in a row become one.

    Args:
        tokenizer: A tokenizer with a chat template.
        dialogue: The posts; the last one is the user's.
        system: System prompt; "" or None leaves it to the template.

    Raises:
        Unsupported: If the tokenizer has no chat template.
        CheckpointError: If the template writes the dialogue in no form.
    """
    if not getattr(tokenizer, "chat_template", None):
        raise Unsupported("the tokenizer has no chat template; use an instruct model")
    turns = [(post.speaker.value, post.text) for post in dialogue.posts]
    partial: list[Turn] | None = None
    refusal: Exception | None = None
    for form in _forms(system or "", turns):
        try:
            written = _render(tokenizer, form)
        except Exception as error:  # a template raises what it likes
            refusal = refusal or error
            continue
        if all(_squeezed(text) in _squeezed(written) for role, text in form if role != "assistant"):
            return _ids(tokenizer, form)
        partial = partial or form
    if partial is not None:  # the template changes texts, or leaves some out in every form
        return _ids(tokenizer, partial)
    reason = next(iter(str(refusal).strip().splitlines()), type(refusal).__name__)
    raise CheckpointError(
        f"the chat template of model {tokenizer.name_or_path!r} cannot write this conversation "
        f"({reason}); mend chat_template.jinja in the model's folder, or use another model"
    ) from refusal


def _forms(system: str, turns: Sequence[Turn]) -> Iterator[list[Turn]]:
    """Yield a dialogue in the forms that templates take, the plain one first."""
    joined: list[Turn] = []
    for role, text in turns:
        if joined and joined[-1][0] == role:
            joined[-1] = (role, f"{joined[-1][1]}\n{text}")
        else:
            joined.append((role, text))
    for posts in (list(turns), joined):
        for role in ("system", "developer"):
            yield [(role, system), *posts] if system else posts
    (role, text), *rest = joined
    if role == Speaker.USER:
        yield [(role, f"{system}\n\n{text}".strip()), *rest]
    else:
        yield [(Speaker.USER.value, system or _SILENCE), *joined]


def _ids(tokenizer: Any, form: Sequence[Turn]) -> list[int]:
    roles, texts = zip(*form, strict=True)
    return rendered_ids(
        tokenizer,
        texts,
        lambda shielded: _render(tokenizer, list(zip(roles, shielded, strict=True))),
    )


def _render(tokenizer: Any, form: Sequence[Turn]) -> str:
    messages = [{"role": role, "content": text} for role, text in form]
    return tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)


def _squeezed(text: str) -> str:
    return "".join(text.split())


#: The system prompt of the chat systems: a small model keeps to the subject when it is brief.
FRIEND = "You are the user's close friend. Reply in one or two short sentences."
#: In a setting or a card: no system prompt, so that the chat template has its own or none.
NO_SYSTEM = "none"
#: The same in each language.
FRIENDS: Mapping[Lang, str] = {"en": FRIEND, "zh": "你是用户的好朋友。用一两句简短的话回答。"}

_FEELING = {
    "anger": "angry",
    "disgust": "disgusted",
    "fear": "afraid",
    "joy": "happy",
    "sadness": "sad",
    "surprise": "surprised",
}


def system_prompt(base: str, mix: EmotionMix | None) -> str:
    """Return a system prompt that also asks for an emotion mix in words.

    Intensity becomes an adverb: up to 25 "a little", up to 50 "rather", up to 75 "very", above
    "extremely"; a negative one asks not to sound so at all.
    """
    if mix is None:
        return base
    wanted: list[str] = []
    unwanted: list[str] = []
    for label, intensity in mix.intensities().items():
        feeling = _FEELING.get(label, f"full of {label}")
        if intensity > 0:
            bands = [(25, "a little"), (50, "rather"), (75, "very"), (100, "extremely")]
            wanted.append(f"{next(w for top, w in bands if intensity <= top)} {feeling}")
        elif intensity < 0:
            unwanted.append(f"not {feeling} at all")
    parts = [*wanted, *unwanted]
    if not parts:
        return base
    return f"{base} You are {' and '.join(parts)}, and every word of your reply shows it.".strip()
