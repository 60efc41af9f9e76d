"""Texts as token ids, in which nobody's text becomes a control token.

A tokenizer takes the spelling of a control token, such as `<|im_end|>` or `</s>`, for the token
wherever it stands, so that a post could end its own turn and open one of the system. Here only
what a template or a setting writes is control; the same spelling in a text is encoded as the plain
characters that it consists of. Texts without such spellings get the ids that the tokenizer gives.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import islice
from typing import Any, Literal
from weakref import WeakKeyDictionary

#: How a token that is no word of a text begins and ends, such as `<tool_call>` and `[INST]`.
_BRACKETED = re.compile(r"[<\[{|].*[>\]}|]", re.DOTALL)


class _Controls(dict[str, int]):
    """Control tokens with their ids.

    Args:
        ids: The same.
        left: Those before which blanks go away.
        right: Those after which they do.
    """

    def __init__(self, ids: dict[str, int], left: frozenset[str], right: frozenset[str]) -> None:
        super().__init__(ids)
        self.left, self.right = left, right

    @cached_property
    def edges(self) -> list[str]:
        """What they begin and end with."""
        return sorted({c for token in self for c in (token.strip()[0], token.strip()[-1])})

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Any of them, the longest first."""
        longest_first = sorted(self, key=len, reverse=True)
        return re.compile(f"({'|'.join(map(re.escape, longest_first))})")

    @cached_property
    def known(self) -> frozenset[int]:
        """Their ids."""
        return frozenset(self.values())


#: Of each tokenizer: what its control tokens depend on, and these. Gemma 3 has 6,000 added tokens,
#: and asking for them takes longer than all the rest of an encoding.
_SEEN: WeakKeyDictionary[Any, tuple[object, _Controls]] = WeakKeyDictionary()


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
    known = controls.known
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


def _controls(tokenizer: Any) -> _Controls:
    """Return the control tokens with their ids.

    They are the special tokens, and those added later that are in brackets or in the chat template
    and are no word; blanks, words and signs that were added as text stay text.
    """
    template = str(getattr(tokenizer, "chat_template", None) or "")
    special = tuple(tokenizer.all_special_tokens)
    depends_on = (template, special, len(tokenizer))
    if (seen := _SEEN.get(tokenizer)) is not None and seen[0] == depends_on:
        return seen[1]
    control = {
        int(i): token
        for i, token in tokenizer.added_tokens_decoder.items()
        if token.content.strip()
        and (
            token.special
            or token.content in special
            or _BRACKETED.fullmatch(token.content)
            or (token.content in template and not token.content.strip().isalnum())
        )
    }
    controls = _Controls(
        {token.content: i for i, token in control.items()},
        frozenset(token.content for token in control.values() if token.lstrip),
        frozenset(token.content for token in control.values() if token.rstrip),
    )
    _SEEN[tokenizer] = (depends_on, controls)
    return controls


def _shield(controls: _Controls, texts: Sequence[str]) -> dict[int, str]:
    """Map what control tokens begin and end with to characters that are in none of the texts."""
    edges = controls.edges
    used = set().union(*texts)
    free = (chr(c) for c in range(0xF0000, 0xFFFFE) if chr(c) not in used)
    return {ord(edge): c for edge, c in zip(edges, islice(free, len(edges)), strict=True)}


def _split(controls: _Controls, text: str) -> list[str]:
    """Split at control tokens: [text, token, text, token, ..., text]."""
    return controls.pattern.split(text) if controls else [text]


def _forged(
    tokenizer: Any, controls: _Controls, text: str, ids: Sequence[int], own: Sequence[int]
) -> bool:
    """Tell whether ids hold other control tokens than the own ones of template and tokenizer."""
    known = controls.known
    if [i for i in ids if i in known] == list(own):
        return False
    unknown = tokenizer.unk_token
    if unknown in controls and _normal(tokenizer, text).count(unknown) == own.count(
        controls[unknown]
    ):  # the token of unknown characters stands for real ones
        known -= {controls[unknown]}
    return [i for i in ids if i in known] != [i for i in own if i in known]


def _normal(tokenizer: Any, text: str) -> str:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    normalizer = getattr(backend, "normalizer", None)
    return normalizer.normalize_str(text) if normalizer is not None else text


def _assembled(tokenizer: Any, controls: _Controls, parts: Sequence[str]) -> list[int]:
    """Return the ids of what `_split` gave: of its tokens as control, of its texts as plain."""
    ids: list[int] = []
    for place, part in enumerate(parts):
        if place % 2:
            ids.append(controls[part])
            continue
        if place and parts[place - 1] in controls.right:
            part = part.lstrip()
        if place + 1 < len(parts) and parts[place + 1] in controls.left:
            part = part.rstrip()
        ids += _plain(tokenizer, controls, part, begins=place == 0)
    return ids


def _plain(tokenizer: Any, controls: _Controls, text: str, *, begins: bool) -> list[int]:
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
    tokenizer: Any, controls: _Controls, encode: Callable[[str], list[int]], word: str
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
    return [i for i in ids if i not in controls.known]
