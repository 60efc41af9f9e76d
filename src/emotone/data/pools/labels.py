"""Labels of pooled replies, and the emotion words that they tell.

A reply has its judge's likeliest label from a least probability on, else the neutral one, as ECM
labelled its pairs. Where the corpus has a label of its own, both must agree: the corpus's label
stands if the judge gives it `AGREE` or more. A label that the corpus's set does not know, such as
"like" in DailyDialog's, is the judge's alone.

Why both: of the labels that `zh-label`, which learnt from weibos, gives XDailyDialog's replies with
probability 0.5 or more, 5 % of anger, 9 % of sadness and under 1 % of disgust are what people heard
(questions sound like disgust to it), and at 0.7 still only 1 % of disgust. No threshold mends that,
but people's labels do. On CPED, where people also saw the film, 0.5 gives 21, 20 and 11 %. Against
the labels of ECM's own classifier on ESTC it gives 77 % of like, 90 % of happiness, 71 % of disgust
and 57 % of sadness. In LCCC, which has no labels, anger, sadness and disgust must therefore be
surer, and are still the weakest. `en-label` has 77 to 100 % against MELD and DailyDialog at 0.5 in
each class; some of their texts taught it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from types import MappingProxyType
from typing import Any

from emotone.data.ememory import Ememory, from_log_odds, labelled_words
from emotone.data.text import tokens
from emotone.data.vocab import Vocabulary
from emotone.emotions import TAXONOMIES, Emotion, Taxonomy
from emotone.errors import UsageError
from emotone.protocols import EmotionClassifier
from emotone.types import EmotionScores, Example

#: The judge's label stands from this probability on, where no other is said.
LEAST = 0.5
#: The corpus's label stands if the judge gives it so much, unless a pool says otherwise: a face or
#: a tone of voice is not in the words, and a model that reads words learns nothing from it.
AGREE = 0.15
#: Texts that are judged at once.
CHUNK = 4096
#: Words of the vocabulary that emotion words are looked for in, and most of them a label.
WORDS, MEMORY = 8000, 200
#: What a strong word of a label is: where labelled texts are few, weaker ones are chance.
STRONG: Mapping[str, Any] = MappingProxyType({"min_count": 5, "least_z": 2.58, "least_odds": 4.0})
HEARD = 1.5


def label_replies(
    replies: Sequence[str],
    posts: Sequence[str],
    own: Sequence[Emotion | None],
    judge: EmotionClassifier,
    least: Mapping[str, float],
    agree: float = AGREE,
) -> list[str]:
    """Label each reply; see `settled`.

    Args:
        replies: Texts.
        posts: What each answers.
        own: The corpus's label of each, of any set.
        judge: The classifier; its label set has a neutral label.
        least: Label -> probability from which it stands; `LEAST` for a label that is not here.
        agree: Probability from which a corpus's own label stands.

    Raises:
        UsageError: If the judge's label set has no neutral label.
    """
    if judge.taxonomy.neutral is None:
        raise UsageError(
            f"{judge.name} labels in {judge.taxonomy.name}, which has no neutral label; "
            "name a judge whose set has one"
        )
    labels: list[str] = []
    for start in range(0, len(replies), CHUNK):
        scores = judge.classify(replies[start : start + CHUNK], posts[start : start + CHUNK])
        own_labels = own[start : start + CHUNK]
        labels += [
            settled(h, o, judge.taxonomy, least, agree)
            for h, o in zip(scores, own_labels, strict=True)
        ]
    return labels


def settled(
    scores: EmotionScores,
    own: Emotion | None,
    taxonomy: Taxonomy,
    least: Mapping[str, float],
    agree: float = AGREE,
) -> str:
    """Decide on the label of a reply from a judge's probabilities and perhaps a corpus's label.

    Args:
        scores: The judge's probabilities.
        own: The corpus's label, of any set; None for none.
        taxonomy: The judge's label set.
        least: Label -> probability from which it stands.
        agree: Probability from which the corpus's own label stands.
    """
    neutral, chance = str(taxonomy.neutral), scores.probabilities
    sure = chance[scores.label] >= least.get(scores.label, LEAST)
    if own is None:
        return scores.label if sure else neutral
    its_set = TAXONOMIES[own.taxonomy]
    known = {its_set.map_to(emotion, taxonomy).label for emotion in its_set}
    if sure and scores.label not in known:
        return scores.label
    own_label = its_set.map_to(own, taxonomy).label
    return own_label if own_label == neutral or chance[own_label] >= agree else neutral


def emotion_words(train: Sequence[Example], judge: EmotionClassifier) -> Ememory:
    """Find the emotion words of training replies, among the words that a model will know.

    A word that the judge, hearing it alone, does not give the label `HEARD` times more readily than
    the median word of the vocabulary is left out: some words are of a label only because a person
    or a thing of one scene is. Where all would go, none does.

    Args:
        train: Pairs labelled in the judge's set, all in one language.
        judge: The classifier of the words.
    """
    texts = ((text, e.lang) for e in train for text in (e.dialogue.posts[-1].text, e.reply or ""))
    words = Vocabulary.build((tokens(text, lang) for text, lang in texts), WORDS).words
    rows = labelled_words(train, judge.taxonomy)
    lists = from_log_odds(rows, words, size=MEMORY, taxonomy=judge.taxonomy, **STRONG)
    chances = {w: s.probabilities for w, s in zip(words, judge.classify(words), strict=True)}
    clear: list[tuple[str, ...]] = []
    for label, listed in zip(judge.taxonomy.labels, lists, strict=True):
        floor = HEARD * median(chance[label] for chance in chances.values())
        clear.append(tuple(w for w in listed if chances[w][label] >= floor) or listed)
    return tuple(clear)
