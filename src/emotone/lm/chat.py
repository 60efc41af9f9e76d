"""From a dialogue to the token ids that a chat model reads."""

from __future__ import annotations

from typing import Any

from emotone.emotions import EmotionMix
from emotone.errors import Unsupported
from emotone.types import Dialogue


def prompt_ids(tokenizer: Any, dialogue: Dialogue, system: str | None = None) -> list[int]:
    """Return the token ids of a dialogue in the chat format, up to where the reply starts.

    Control tokens inside the posts (`<|im_end|>` and the like) stay plain text.

    Args:
        tokenizer: A tokenizer with a chat template.
        dialogue: The posts; the last one is the user's.
        system: System prompt; "" or None leaves it to the template.

    Raises:
        Unsupported: If the tokenizer has no chat template.
    """
    if not getattr(tokenizer, "chat_template", None):
        raise Unsupported("the tokenizer has no chat template; use an instruct model")
    messages = [{"role": "system", "content": system}] if system else []
    messages += [{"role": p.speaker.value, "content": p.text} for p in dialogue.posts]
    return list(
        tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, sanitize_control_tokens=True, return_dict=False
        )
    )


#: The system prompt of the chat systems: a small model keeps to the subject when it is brief.
FRIEND = "You are the user's close friend. Reply in one or two short sentences."

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
