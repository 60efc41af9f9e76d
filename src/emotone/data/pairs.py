"""Posts and replies as ids, packed into a few flat arrays: what recurrent systems train on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emotone.data.text import tokens
from emotone.data.vocab import Vocabulary
from emotone.emotions import TAXONOMIES, Taxonomy
from emotone.errors import DataError
from emotone.types import Example

if TYPE_CHECKING:
    import numpy as np

#: Stands where a pair has no emotion.
NO_EMOTION = -1


@dataclass(frozen=True, slots=True)
class Pair:
    """One post and its reply.

    Args:
        post: Ids of the post's words.
        reply: Ids of the reply's words, without start and end.
        emotion: Place of the reply's emotion in its taxonomy's labels, or `NO_EMOTION`.
    """

    post: tuple[int, ...]
    reply: tuple[int, ...]
    emotion: int = NO_EMOTION


@dataclass(frozen=True, eq=False)
class Pairs(Sequence[Pair]):
    """N pairs in five arrays; a pair is made when it is asked for.

    Args:
        posts: Ids of all posts, one after the other, int32.
        post_ends: Where each post ends in `posts`, [N] int64; it begins where the last one ended.
        replies: Ids of all replies, int32.
        reply_ends: Where each reply ends in `replies`, [N] int64.
        emotions: Place of each reply's emotion, [N] int32, `NO_EMOTION` for none.
    """

    posts: np.ndarray
    post_ends: np.ndarray
    replies: np.ndarray
    reply_ends: np.ndarray
    emotions: np.ndarray

    def __len__(self) -> int:
        """Return N."""
        return len(self.emotions)

    def __getitem__(self, i: int) -> Pair:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return one pair; `i` may count from the end."""
        i = range(len(self))[i]
        post = self.posts[self.post_ends[i - 1] if i else 0 : self.post_ends[i]]
        reply = self.replies[self.reply_ends[i - 1] if i else 0 : self.reply_ends[i]]
        return Pair(tuple(post.tolist()), tuple(reply.tolist()), int(self.emotions[i]))

    def __iter__(self) -> Iterator[Pair]:
        """Yield the pairs in order."""
        return (self[i] for i in range(len(self)))

    def rows(self, indices: Iterable[int]) -> list[Pair]:
        """Return the pairs of some indices, in their order."""
        return [self[int(i)] for i in indices]

    @property
    def post_lengths(self) -> np.ndarray:
        """Words of each post, [N] int64."""
        import numpy as np

        return np.diff(self.post_ends, prepend=0)

    @property
    def reply_lengths(self) -> np.ndarray:
        """Words of each reply, start and end not counted, [N] int64."""
        import numpy as np

        return np.diff(self.reply_ends, prepend=0)


def encode(
    examples: Iterable[Example],
    vocabulary: Vocabulary,
    taxonomy: Taxonomy | None = None,
    *,
    posts: Vocabulary | None = None,
    words_of: Callable[[str], list[str]] | None = None,
    post_words: int | None = None,
    reply_words: int | None = None,
    drop: bool = False,
) -> Pairs:
    """Turn examples into pairs: the last post, the reply, and the reply's emotion.

    Args:
        examples: Examples with replies.
        vocabulary: Ids of words, of replies if `posts` has those of posts.
        taxonomy: Label set of `Pairs.emotions`, to which labels of other sets are mapped; None
            leaves all emotions out.
        posts: Ids of the words of posts; None for those of `vocabulary`.
        words_of: Splits a text into words; None does it by the example's language.
        post_words: A longer post keeps its first words only; None keeps all.
        reply_words: The same for replies.
        drop: Leave a pair out where a side is longer, as ECM's code does.

    Raises:
        DataError: If an example has no reply, or an emotion that is a mix or a grade.
        UnknownName: If there is no map from an emotion's set to `taxonomy`.
    """
    import numpy as np

    flat: tuple[list[int], list[int]] = ([], [])
    ends: tuple[list[int], list[int]] = ([], [])
    emotions: list[int] = []
    for example in examples:
        if example.reply is None:
            raise DataError(f"example {example.id!r} has no reply; leave it out of training")
        texts = (example.dialogue.posts[-1].text, example.reply)
        sides = [tokens(t, example.lang) if words_of is None else words_of(t) for t in texts]
        most = (post_words, reply_words)
        if drop and any(m is not None and len(s) > m for s, m in zip(sides, most, strict=True)):
            continue
        known = (posts or vocabulary, vocabulary)
        for ids, end, words, m, of in zip(flat, ends, sides, most, known, strict=True):
            ids.extend(of.ids(words[:m]))
            end.append(len(ids))
        emotions.append(NO_EMOTION if taxonomy is None else _place(example, taxonomy))
    return Pairs(
        np.array(flat[0], dtype=np.int32),
        np.array(ends[0], dtype=np.int64),
        np.array(flat[1], dtype=np.int32),
        np.array(ends[1], dtype=np.int64),
        np.array(emotions, dtype=np.int32),
    )


def _place(example: Example, taxonomy: Taxonomy) -> int:
    if example.emotion is None:
        return NO_EMOTION
    emotion = example.emotion.at_full
    if emotion is None:
        raise DataError(
            f"example {example.id!r} has the emotion {str(example.emotion)!r}; "
            "give one emotion without intensity"
        )
    return taxonomy.labels.index(TAXONOMIES[emotion.taxonomy].map_to(emotion, taxonomy).label)
