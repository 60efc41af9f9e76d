"""ECM's `ememory` file: the emotion words of its external memory, one list a class.

A JSON list of lists of words, one a label of a taxonomy in its order; ECM's own has NLPCC's six
(other, like, sadness, disgust, anger, happiness), an English one Ekman's seven. The list of the
neutral label may be empty: such a model answers it from its generic words alone. ECM's dictionary
was never published, so the lists are built here, from a word list (`from_lexicon`) or from labelled
texts (`from_log_odds`).

Source: Zhou et al. 2018, section 3.5; file format of its released code.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from emotone.data.lexicons import Lexicon
from emotone.data.reading import Problems, read_lines
from emotone.data.text import text_key, tokens
from emotone.emotions import NLPCC, TAXONOMIES, Taxonomy
from emotone.errors import DataError, EmotoneError
from emotone.files import replacing
from emotone.types import Example, is_unicode

#: Words of each label of a taxonomy, in the order of its ids.
Ememory = tuple[tuple[str, ...], ...]

#: Two-sided 5 % of the normal distribution: a weaker word may be anybody's.
LEAST_Z = 1.96
#: A class says its words at least twice as readily as the others do; "I" of the sad is not one.
LEAST_ODDS = 2.0


def check_ememory(lists: Sequence[Sequence[str]], taxonomy: Taxonomy = NLPCC) -> Ememory:
    """Check that lists of words can be an external memory, and freeze them.

    Args:
        lists: The words of each label, in the order of the taxonomy.
        taxonomy: The label set.

    Raises:
        DataError: If there is not one list a label, one but the neutral label's is empty, something
            is no word, or a word occurs twice in a list. A word may be in several lists, for ECM
            looks at one.
    """
    if isinstance(lists, str) or len(lists) != len(taxonomy.labels):
        raise DataError(f"an ememory holds one list for each of {', '.join(taxonomy.labels)}")
    for label, words in zip(taxonomy.labels, lists, strict=True):
        if isinstance(words, str) or not isinstance(words, Sequence):
            raise DataError(f"the entry of {label} is not a list; give a list of words")
        if not words and label != taxonomy.neutral:
            only = f"; only that of {taxonomy.neutral} may be" if taxonomy.neutral else ""
            raise DataError(
                f"the list of {label} is empty{only}, for a model would give the probability of "
                "emotion words to none"
            )
        for word in words:
            if not isinstance(word, str) or not word.strip() or not is_unicode(word):
                raise DataError(
                    f"the list of {label} holds {word!r}, which is not a word; remove it"
                )
        if len(set(words)) != len(words):
            twice = next(word for word, count in Counter(words).items() if count > 1)
            raise DataError(f"the list of {label} holds {twice!r} twice; keep it once")
    return tuple(tuple(words) for words in lists)


def read_ememory(path: Path, taxonomy: Taxonomy = NLPCC) -> Ememory:
    """Read and check an `ememory` file.

    Raises:
        DataError: If it is no JSON list of lists of words; see `check_ememory`.
    """
    text = "\n".join(line for _, line in read_lines(path, Problems()))
    try:
        lists = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path.name}: no JSON ({error}); give a list of lists") from error
    try:
        return check_ememory(lists if isinstance(lists, list) else [], taxonomy)
    except DataError as error:
        raise DataError(f"{path.name}: {error}") from error


def write_ememory(path: Path, lists: Sequence[Sequence[str]], taxonomy: Taxonomy = NLPCC) -> None:
    """Check lists and write them as JSON, whole or not at all.

    Raises:
        DataError: See `check_ememory`; or the file cannot be written.
    """
    text = json.dumps(check_ememory(lists, taxonomy), ensure_ascii=False)
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def from_lexicon(
    lexicon: Lexicon,
    vocabulary: Iterable[str] | None = None,
    *,
    size: int | None = None,
    taxonomy: Taxonomy = NLPCC,
) -> Ememory:
    """Make the lists from a word list, mapped to a taxonomy's labels.

    A word of two classes is left out, so that no two lists share one.

    Args:
        lexicon: The word list.
        vocabulary: The words that a model can say, the frequent ones first; others are left out.
            None keeps all, by code point.
        size: Most words of a class; the first of the vocabulary.
        taxonomy: The label set.

    Raises:
        DataError: If a class but the neutral one gets no word.
        UnknownName: If there is no map from the list's labels to the taxonomy's.
    """
    classes: dict[str, list[str]] = {}
    for label, words in lexicon.map_to(taxonomy).words.items():
        for word in words:
            classes.setdefault(word, []).append(label)
    lists: dict[str, list[str]] = {label: [] for label in taxonomy.labels}
    for word in sorted(classes) if vocabulary is None else dict.fromkeys(vocabulary):
        if len(owners := classes.get(word, ())) == 1 and _room(lists[owners[0]], size):
            lists[owners[0]].append(word)
    return check_ememory(list(lists.values()), taxonomy)


def labelled_words(
    examples: Iterable[Example],
    taxonomy: Taxonomy = NLPCC,
    *,
    words_of: Callable[[str], list[str]] | None = None,
) -> Iterator[tuple[list[str], str]]:
    """Yield words and label of each reply and each last post that has one emotion.

    Earlier posts are left out, for in most corpora each was the last post of another example. A
    reply asked for in a mix has no one class and is left out too. A text of a label counts once,
    however many replies a post has, and though a reply is the last post of the next example.

    Args:
        examples: The labelled texts.
        taxonomy: Label set of the labels.
        words_of: Splits a text into words; None does it by the example's language.

    Raises:
        UnknownName: If a label's set has no map to the taxonomy.
    """
    seen: set[tuple[int, str]] = set()
    for example in examples:
        reply = None if example.emotion is None else example.emotion.at_full
        last = example.dialogue.posts[-1]
        for text, emotion in ((example.reply, reply), (last.text, last.emotion)):
            if not text or emotion is None:
                continue
            label = TAXONOMIES[emotion.taxonomy].map_to(emotion, taxonomy).label
            key = (int(text_key(text)[:16], 16), label)
            if key not in seen:
                seen.add(key)
                yield (words_of(text) if words_of else tokens(text, example.lang)), label


def from_log_odds(
    rows: Iterable[tuple[Sequence[str], str]],
    vocabulary: Iterable[str] | None = None,
    *,
    size: int = 200,
    min_count: int = 10,
    prior: float = 1000.0,
    neutral: bool = False,
    taxonomy: Taxonomy = NLPCC,
    least_z: float = LEAST_Z,
    least_odds: float = LEAST_ODDS,
) -> Ememory:
    """Find the words that tell a class from the others, by log-odds with an informative prior.

    For word w of class i against all other texts j, with counts y, sizes n and pseudo-counts
    a_w = prior * share of w in all texts:

        d_w = log((y_i + a_w) / (n_i + prior - y_i - a_w))
            - log((y_j + a_w) / (n_j + prior - y_j - a_w))
        z_w = d_w / sqrt(1 / (y_i + a_w) + 1 / (y_j + a_w))

    A word goes to the class where z is largest, if z is above `least_z` and exp(d) at least
    `least_odds`; a list holds the `size` largest z, in falling order. No two lists share a word,
    and what holds no letter is not a word. The prior shrinks rare words to zero, which plain
    log-odds would put first.

    Args:
        rows: Words of each text and its label.
        vocabulary: The words that a model can say; others count as words, but are not listed.
        size: Most words of a class.
        min_count: A listed word occurs so often in all texts.
        prior: Pseudo-words added to each side; 0 would be plain log-odds.
        neutral: Whether the neutral label gets a list too, of the words that say no emotion.
        taxonomy: The label set.
        least_z: Standard deviations; more for fewer chance words where texts are few.
        least_odds: How much more readily the class says a word than the others do.

    Raises:
        DataError: If a label is unknown, or a class but the neutral one gets no word.

    Source: Monroe, Colaresi and Quinn 2008, "Fightin' Words", the log-odds-ratio with an
    informative Dirichlet prior and its z-scores.
    """
    if size < 1 or min_count < 1 or not 0 < prior < math.inf:
        raise DataError(
            f"size {size}, min_count {min_count}, prior {prior:g}: use whole numbers from 1 and a "
            "prior above 0"
        )
    counts: dict[str, Counter[str]] = {label: Counter() for label in taxonomy.labels}
    for words, label in rows:
        try:
            counts[taxonomy.parse(label).label].update(words)
        except EmotoneError as error:
            raise DataError(f"label {label!r} of a text: {error}") from error
    everywhere = sum(counts.values(), Counter[str]())
    sizes = {label: counts[label].total() for label in counts}
    lists: dict[str, list[str]] = {label: [] for label in taxonomy.labels}
    scored: list[tuple[float, str, str]] = []
    allowed = everywhere.keys() if vocabulary is None else set(vocabulary) & everywhere.keys()
    for word in allowed:
        if everywhere[word] < min_count or not any(c.isalpha() for c in word):
            continue
        occurrences = {label: counts[label][word] for label in lists}
        (z, d), label = max((_odds(occurrences, sizes, label, prior), label) for label in lists)
        strong = z > least_z and d >= math.log(least_odds)
        if strong and (neutral or label != taxonomy.neutral):
            scored.append((-z, word, label))
    for _, word, label in sorted(scored):
        if _room(lists[label], size):
            lists[label].append(word)
    try:
        return check_ememory(list(lists.values()), taxonomy)
    except DataError as error:
        raise DataError(f"{error}; give more texts of it, or a lower min_count") from error


def _odds(
    said: Mapping[str, int], sizes: Mapping[str, int], label: str, prior: float
) -> tuple[float, float]:
    """Log-odds of a word in one class against all others: in standard deviations, and plain.

    Args:
        said: How often each class says the word.
        sizes: Words of each class.
        label: The class.
        prior: Pseudo-words of each side.
    """
    all_said, total = sum(said.values()), sum(sizes.values())
    a = prior * all_said / total
    inside, outside = said[label] + a, all_said - said[label] + a
    rest_inside = sizes[label] + prior - inside
    rest_outside = total - sizes[label] + prior - outside
    if rest_inside <= 0 or rest_outside <= 0:  # texts that say nothing but this word
        return 0.0, 0.0
    d = math.log(inside / rest_inside) - math.log(outside / rest_outside)
    return d / math.sqrt(1 / inside + 1 / outside), d


def _room(words: Sequence[str], size: int | None) -> bool:
    return size is None or len(words) < size
