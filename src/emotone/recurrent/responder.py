"""The responder of the recurrent systems: words in, search, words out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from emotone.data.batch import collate
from emotone.data.pairs import Pair, encode
from emotone.data.scripts import simplified
from emotone.data.text import Lang, show, show_en
from emotone.data.vocab import UNK, Vocabulary
from emotone.emotions import TAXONOMIES, EmotionMix
from emotone.nn.search import Hypothesis, beam, sample
from emotone.recurrent.choose import choose
from emotone.recurrent.config import Replies, Sizes
from emotone.recurrent.corpus import Corpus
from emotone.recurrent.model import Network, initial
from emotone.requests import check_request
from emotone.types import Capabilities, Decoding, Dialogue, EmpathyLevels, JudgeName, Reply


class Recurrent:
    """A trained network that answers.

    A row asked for no emotion is answered in the taxonomy's neutral one, which is what such a
    network has learnt for it. Sampled replies are the best of several, by `choose`; greedy and
    beam search say what the search found.

    Args:
        system: Name of the system.
        model: Name of the weights.
        network: The network.
        corpus: Its vocabulary, labels and language.
        replies: Choice among candidates.
        device: Where it runs.
        judges: Judges that labelled what it was trained on.
    """

    def __init__(
        self,
        system: str,
        model: str,
        network: Any,
        corpus: Corpus,
        replies: Replies,
        *,
        device: str = "cpu",
        judges: Sequence[JudgeName] = (),
    ) -> None:
        self.capabilities = Capabilities(corpus.taxonomy, languages=(corpus.lang,))
        self.lang: Lang = corpus.lang
        self._system, self._model = system, model
        self.network: Network = network.to(device).eval().requires_grad_(False)
        self._corpus, self._replies = corpus, replies
        self._device, self._judges = device, list(judges)

    @classmethod
    def of(
        cls,
        system: str,
        model: str,
        build: Callable[[Any, Corpus], Any],
        config: Any,
        corpus: Corpus,
    ) -> Recurrent:
        """Make a responder of untrained weights."""
        return cls(system, model, initial(build, config, corpus), corpus, config.replies)

    def reply(
        self,
        dialogues: Sequence[Dialogue],
        emotions: Sequence[EmotionMix | None],
        *,
        decoding: Decoding,
        empathy: Sequence[EmpathyLevels | None] | None = None,
    ) -> list[Reply]:
        """Answer each post in its emotion."""
        check_request(self._system, self.capabilities, dialogues, emotions, empathy, decoding)
        replies: list[Reply] = []
        for start in range(0, len(dialogues), self._replies.batch):
            part = slice(start, start + self._replies.batch)
            posts = [self._post(d) for d in dialogues[part]]
            places = self._places(emotions[part])
            seeds = [decoding.seed + start + i for i in range(len(posts))]
            chosen = self._search(posts, places, decoding, seeds)
            for mix, seed, (best, of) in zip(emotions[part], seeds, chosen, strict=True):
                replies.append(self._reply(mix, seed, best, of, decoding))
        return replies

    def n_best(
        self, dialogue: Dialogue, emotion: EmotionMix | None, n: int, *, decoding: Decoding
    ) -> list[Reply]:
        """Return the n best replies of a beam search, best first; there may be fewer."""
        check_request(self._system, self.capabilities, [dialogue], [emotion], None, decoding)
        posts, places = [self._post(dialogue)], self._places([emotion])
        return [
            self._reply(emotion, decoding.seed, hypothesis, 1, decoding)
            for hypothesis in self._beam(posts, places, decoding, n)[0]
        ]

    def nats(
        self,
        dialogues: Sequence[Dialogue],
        emotions: Sequence[EmotionMix | None],
        replies: Sequence[str],
    ) -> list[tuple[float, int]]:
        """Return nats and tokens of given replies, the end token included.

        Words outside of the vocabulary count as the one unknown word.
        """
        check_request(self._system, self.capabilities, dialogues, emotions)
        places = self._places(emotions) or [-1] * len(dialogues)
        vocabulary, spelling = self._corpus.vocabulary, self._corpus.spelling
        rows = [
            Pair(self._post(d), tuple(vocabulary.ids(spelling.of_typed(text, vocabulary))), place)
            for d, place, text in zip(dialogues, places, replies, strict=True)
        ]
        counted: list[tuple[float, int]] = []
        for start in range(0, len(rows), 64):
            part = rows[start : start + 64]
            with torch.inference_mode():
                nats = self.network.nll(collate(part).to(self._device))
            counted += [
                (float(n), len(row.reply) + 1) for n, row in zip(nats.cpu(), part, strict=True)
            ]
        return counted

    def known_words(self, text: str) -> tuple[int, int]:
        """Return how many words of a text it knows, and how many there are; signs do not count."""
        words = [word for word in self._words(text) if any(c.isalnum() for c in word)]
        return sum(i != UNK for i in self._corpus.of_posts.ids(words)), len(words)

    def _words(self, text: str) -> list[str]:
        corpus = self._corpus
        text = simplified(text) if self.lang == "zh" else text
        return corpus.spelling.of_typed(text, corpus.of_posts)[: corpus.longest]

    def _post(self, dialogue: Dialogue) -> tuple[int, ...]:
        words = self._words(dialogue.posts[-1].text)
        return tuple(self._corpus.of_posts.ids(words)) or (UNK,)

    def _places(self, emotions: Sequence[EmotionMix | None]) -> list[int] | None:
        taxonomy = self.capabilities.taxonomy
        if taxonomy is None:
            return None
        places: list[int] = []
        for mix in emotions:
            one = None if mix is None else mix.at_full
            label = taxonomy.neutral if one is None else one.label
            places.append(taxonomy.labels.index(label or taxonomy.labels[0]))
        return places

    @torch.inference_mode()
    def _search(
        self,
        posts: list[tuple[int, ...]],
        places: list[int] | None,
        decoding: Decoding,
        seeds: list[int],
    ) -> list[tuple[Hypothesis, int]]:
        """Return each post's reply and how many candidates it was chosen from."""
        if decoding.strategy == "beam":
            return [(hypotheses[0], 1) for hypotheses in self._beam(posts, places, decoding, 1)]
        state = self._read(posts, places)
        greedy = decoding.strategy == "greedy"
        count = 1 if greedy else self._replies.candidates
        listed = sample(
            self.network.step,
            state,
            len(posts),
            seeds=seeds,
            candidates=count,
            temperature=decoding.temperature * (self._replies.spread if count > 1 else 1.0),
            top_p=decoding.top_p,
            top_k=decoding.top_k,
            max_tokens=decoding.max_tokens,
            min_tokens=max(1, decoding.min_tokens),
            repetition_penalty=decoding.repetition_penalty,
            no_repeat=decoding.no_repeat,
            greedy=greedy,
            device=self._device,
        )
        if count == 1:
            return [(hypotheses[0], 1) for hypotheses in listed]
        distinct = [list({h.tokens: h for h in _finished(hs)}.values()) for hs in listed]
        taxonomy = self.capabilities.taxonomy
        best = choose(
            self.network,
            posts,
            [[h.tokens for h in hypotheses] for hypotheses in distinct],
            places,
            0 if taxonomy is None else len(taxonomy.labels),
            topic=self._replies.topic if self.network.core.blank else 0.0,
            emotion=self._replies.emotion,
            device=self._device,
        )
        return [(hypotheses[i], count) for hypotheses, i in zip(distinct, best, strict=True)]

    def _beam(
        self, posts: list[tuple[int, ...]], places: list[int] | None, decoding: Decoding, n: int
    ) -> list[list[Hypothesis]]:
        """Return the n best replies to each post."""
        return beam(
            self.network.step,
            self._read(posts, places),
            len(posts),
            beams=decoding.beams,
            n_best=n,
            max_tokens=decoding.max_tokens,
            length_penalty=decoding.length_penalty,
            no_repeat=decoding.no_repeat,
            min_tokens=max(1, decoding.min_tokens),
            device=self._device,
        )

    @torch.inference_mode()
    def _read(self, posts: list[tuple[int, ...]], places: list[int] | None) -> Any:
        """Return the state in which the decoder starts."""
        batch = collate([Pair(post, (UNK,)) for post in posts]).to(self._device)
        emotion = None if places is None else torch.tensor(places, device=self._device)
        return self.network.encode(batch.source, batch.source_lengths, emotion)

    def _reply(
        self,
        mix: EmotionMix | None,
        seed: int,
        best: Hypothesis,
        candidates: int,
        decoding: Decoding,
    ) -> Reply:
        words = self._corpus.vocabulary.words_of(best.tokens)
        text = show(words) if self.lang == "zh" else show_en(words)
        applied: dict[str, Any] = {"search": decoding.strategy, "candidates": candidates}
        if decoding.strategy == "beam":
            applied["beams"] = decoding.beams
        if self._judges:
            applied["judges"] = list(map(str, self._judges))
        return Reply(
            text,
            mix,
            self._system,
            self._model,
            seed,
            len(best.tokens) + best.finished,
            min(0.0, best.logprob),
            applied,
            "stop" if best.finished else "length",
        )


def _finished(hypotheses: list[Hypothesis]) -> list[Hypothesis]:
    """Candidates that came to their end, if any did."""
    return [h for h in hypotheses if h.finished] or hypotheses


def tiny_sizes() -> Sizes:
    """Sizes of a network that is built and answers in a moment."""
    return Sizes(embedding=8, encoder_hidden=6, hidden=12, dropout=0.1)


def tiny_corpus(lang: Lang, taxonomy: str | None) -> Corpus:
    """A vocabulary of a few words and, where there are emotions, a word of each."""
    words = {
        "en": "i you we am are so very happy sad angry scared glad that is good bad . ! ?",
        "zh": "我 你 他 很 太 开心 难过 生气 讨厌 喜欢 了 的 是 好 不 。 ！ ？",
    }[lang].split()
    vocabulary = Vocabulary.build([words])
    labels = None if taxonomy is None else TAXONOMIES[taxonomy]
    lists: tuple[tuple[str, ...], ...] = ()
    if labels is not None:
        lists = tuple(
            () if label == labels.neutral else (words[7 + i % 4],)
            for i, label in enumerate(labels.labels)
        )
    empty = encode([], vocabulary)
    return Corpus(lang, vocabulary, labels, empty, empty, emotion_words=lists)
