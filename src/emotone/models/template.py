"""The form in which a dialogue is put to a model."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# For a model that was never taught a chat format: turns as lines of a script. A base model goes on
# with the next line after its own, so line breaks inside a turn are made blanks and the first line
# break of a reply is its end. A system turn comes before the script, followed by an empty line.
PLAIN_TEMPLATE = (
    "{% for message in messages %}"
    "{% set text = message['content'] | replace('\\r', ' ') | replace('\\n', ' ') | trim %}"
    "{% if message['role'] == 'system' %}{{ message['content'] | trim + '\\n\\n' }}"
    "{% elif message['role'] == 'user' %}{{ 'User: ' + text + '\\n' }}"
    "{% else %}{{ 'Assistant: ' + text + '\\n' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
PLAIN_STOP = "\n"


def give_template(tokenizer: PreTrainedTokenizerBase) -> tuple[str, ...]:
    """Give a tokenizer that has no chat template the plain one.

    The plain template opens with the beginning token if the tokenizer itself sets that before a
    text, since chat templates are encoded without it.

    Args:
        tokenizer: Changed in place.

    Returns:
        Texts that end a reply besides the end token: none where the model has its own template.
    """
    if tokenizer.chat_template:
        return ()
    begins = tokenizer.bos_token_id is not None and (
        tokenizer("a").input_ids[:1] == [tokenizer.bos_token_id]
    )
    tokenizer.chat_template = ("{{ bos_token }}" if begins else "") + PLAIN_TEMPLATE
    return (PLAIN_STOP,)


def chat_template_hash(tokenizer: PreTrainedTokenizerBase) -> str:
    """Fingerprint a chat template, by which vectors made under another one are noticed.

    Returns:
        The first 16 hex digits of its sha256.
    """
    template = tokenizer.chat_template
    text = template if isinstance(template, str) else json.dumps(template, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
