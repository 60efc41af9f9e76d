"""Texts as token ids, in which nobody's text becomes a control token.

A tokenizer takes the spelling of a control token, such as `<|im_end|>` or `</s>`, for the token
wherever it stands, so that a post could end its own turn and open one of the system. Here only
what a template or a setting writes is control; the same spelling in a text is encoded as the plain
characters that it consists of. Texts without such spellings get the ids that the tokenizer gives.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, Literal

#: How a token that is no word of a text begins and ends, such as `<tool_call>` and `[INST]`.
_BRACKETED = re.compile(r"[<\[{|].*[>\]}|]", re.DOTALL)


def text_ids(tokenizer: Any, text: str) -> list[int]:
    """Return the token ids of a text, without the marks that the tokenizer puts around one."""
    return rendered_ids(tokenizer, [text], "".join)


def rendered_ids(
    tokenizer: Any, texts: Sequence[str], render: Callable[[list[str]], str]
) -> list[int]:
    """Return the token ids of what a template makes of texts, without marks around it.

    Args:
        tokenizer: A tokenizer of transformers.
        texts: What people wrote; none of it becomes control, not even together.
        render: Puts the texts into their template, whose own control tokens stay such. It sees
            stand-ins for the characters that control tokens begin and end with.
    """
    controls = _controls(tokenizer)
    shield = _shield(controls, texts)
    written = render([text.translate(shield) for text in texts])
    bare = {ord(stand_in): chr(char) for char, stand_in in shield.items()}
    parts = _split(controls, written)
    text = written.translate(bare)
    ids: list[int] = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    if not _forged(tokenizer, controls, text, ids, [controls[c] for c in parts[1::2]]):
        return ids
    return _assembled(tokenizer, controls, [part.translate(bare) for part in parts])


def marked_ids(
    tokenizer: Any, texts: Sequence[str], limit: int, *, keep: Literal["beginning", "end"]
) -> list[list[int]]:
    """Return the token ids of each text with the tokenizer's marks around it.

    Args:
        tokenizer: A tokenizer of transformers.
        texts: What people wrote.
        limit: Most tokens, marks included.
        keep: Which end of a longer text is kept.
    """
    if not texts:
        return []
    before = tokenizer.truncation_side
    tokenizer.truncation_side = "left" if keep == "end" else "right"
    try:
        rows = tokenizer(list(texts), truncation=True, max_length=limit, verbose=False)["input_ids"]
    finally:
        tokenizer.truncation_side = before
    controls = _controls(tokenizer)
    known = set(controls.values())
    own = [i for i in tokenizer("", verbose=False)["input_ids"] if i in known]
    for row, text in enumerate(texts):
        if _forged(tokenizer, controls, text, rows[row], own):
            first, last = marks(tokenizer)
            ids = _assembled(tokenizer, controls, [text])
            room = max(0, limit - len(first) - len(last))
            kept = ids[:room] if keep == "beginning" else ids[max(0, len(ids) - room) :]
            rows[row] = [*first, *kept, *last]
    return rows


def marks(tokenizer: Any) -> tuple[list[int], list[int]]:
    """Return the ids that a tokenizer puts before and after a text."""
    whole = tokenizer("a", verbose=False)["input_ids"]
    bare = tokenizer("a", add_special_tokens=False, verbose=False)["input_ids"]
    at = next(i for i in range(len(whole)) if whole[i : i + len(bare)] == bare)
    return whole[:at], whole[at + len(bare) :]


def _controls(tokenizer: Any) -> dict[str, int]:
    """Return the control tokens with their ids.

    They are the special tokens, and those added later that are in brackets or in the chat template
    and are no word; blanks, words and signs that were added as text stay text.
    """
    template = str(getattr(tokenizer, "chat_template", None) or "")
    special = set(tokenizer.all_special_tokens)
    return {
        token.content: int(i)
        for i, token in tokenizer.added_tokens_decoder.items()
        if token.content.strip()
        and (
            token.special
            or token.content in special
            or _BRACKETED.fullmatch(token.content)
            or (token.content in template and not token.content.strip().isalnum())
        )
    }


def _shield(controls: dict[str, int], texts: Sequence[str]) -> dict[int, str]:
    """Map what control tokens begin and end with to characters that are in none of the texts."""
    edges = sorted({c for token in controls for c in (token.strip()[0], token.strip()[-1])})
    used = set().union(*texts)
    free = (chr(c) for c in range(0xF0000, 0xFFFFE) if chr(c) not in used)
    return {ord(edge): c for edge, c in zip(edges, islice(free, len(edges)), strict=True)}


def _split(controls: dict[str, int], text: str) -> list[str]:
    """Split at control tokens: [text, token, text, token, ..., text]."""
    if not controls:
        return [text]
    longest_first = sorted(controls, key=len, reverse=True)
    return re.split(f"({'|'.join(map(re.escape, longest_first))})", text)


def _forged(
    tokenizer: Any, controls: dict[str, int], text: str, ids: Sequence[int], own: Sequence[int]
) -> bool:
    """Tell whether ids hold other control tokens than the own ones of template and tokenizer."""
    known = set(controls.values())
    if [i for i in ids if i in known] == list(own):
        return False
    unknown = tokenizer.unk_token
    if unknown in controls and _normal(tokenizer, text).count(unknown) == own.count(
        controls[unknown]
    ):  # the token of unknown characters stands for real ones
        known.discard(controls[unknown])
    return [i for i in ids if i in known] != [i for i in own if i in known]


def _normal(tokenizer: Any, text: str) -> str:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    normalizer = getattr(backend, "normalizer", None)
    return normalizer.normalize_str(text) if normalizer is not None else text


def _assembled(tokenizer: Any, controls: dict[str, int], parts: Sequence[str]) -> list[int]:
    """Return the ids of what `_split` gave: of its tokens as control, of its texts as plain."""
    added = {token.content: token for token in tokenizer.added_tokens_decoder.values()}
    ids: list[int] = []
    for place, part in enumerate(parts):
        if place % 2:
            ids.append(controls[part])
            continue
        if place and added[parts[place - 1]].rstrip:
            part = part.lstrip()
        if place + 1 < len(parts) and added[parts[place + 1]].lstrip:
            part = part.rstrip()
        ids += _plain(tokenizer, controls, part, begins=place == 0)
    return ids


def _plain(tokenizer: Any, controls: dict[str, int], text: str, *, begins: bool) -> list[int]:
    """Return the ids of a text as characters, whatever it spells.

    Args:
        tokenizer: A tokenizer of transformers.
        controls: Its control tokens.
        text: Any text.
        begins: Whether it is the beginning of all; some tokenizers set a blank before that.
    """
    if not text:
        return []
    if not begins:
        line = _plain(tokenizer, controls, "\n", begins=True)
        ids = _plain(tokenizer, controls, "\n" + text, begins=True)
        if line and ids[: len(line)] == line:
            return ids[len(line) :]
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:

        def encode(word: str) -> list[int]:
            pieces = tokenizer.tokenize(word, split_special_tokens=True)
            return tokenizer.convert_tokens_to_ids(pieces)

        words = [text]
    else:

        def encode(word: str) -> list[int]:
            return [token.id for token in backend.model.tokenize(word)]

        normal = _normal(tokenizer, text)
        splits = backend.pre_tokenizer
        words = [normal] if splits is None else [w for w, _ in splits.pre_tokenize_str(normal)]
    return [i for word in words for i in _of_word(tokenizer, controls, encode, word)]


def _of_word(
    tokenizer: Any, controls: dict[str, int], encode: Callable[[str], list[int]], word: str
) -> list[int]:
    """Return the ids of a word; one that holds a control token's spelling is cut inside of it."""
    # Some vocabularies hold their control tokens as words, so that a model may find them alone.
    ids = encode(word)
    if not _forged(tokenizer, controls, word, ids, []):
        return ids
    parts = _split(controls, word)
    if len(parts) > 1 and len(parts[1]) > 1:
        cut = len(parts[0]) + 1
        halves = (word[:cut], word[cut:])
        return [i for half in halves for i in _of_word(tokenizer, controls, encode, half)]
    known = set(controls.values())
    return [i for i in ids if i not in known]
