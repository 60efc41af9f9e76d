"""The emotion-vector paper's table: posts, their leak, answers at multiples, controls, scores."""

from __future__ import annotations

import dataclasses
import json
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from emotone.errors import ConfigError, DataError, ModelMissing, Unsupported, UsageError
from emotone.evaluation import instruments, paper_answers
from emotone.evaluation.nli import LABELS, TEMPLATE, open_nli
from emotone.evaluation.paper_answers import (
    BASE,
    EMOTIONS,
    Condition,
    answer_all,
    conditions,
    of_paper_only,
    paper_vectors,
    random_vectors,
    read_queries,
    responder,
)
from emotone.evaluation.paper_table import (
    ANOTHER,
    VECTOR,
    rows_of,
    score_table,
    table_json,
    table_markdown,
)
from emotone.steering.extract import PRESETS
from emotone.systems import steered
from emotone.types import Decoding, Dialogue, Reply
from unit.evaluation.hearing import WordJudge

SHORT = dataclasses.replace(paper_answers.PUBLISHED, max_tokens=4)


@contextmanager
def no_bar(_title, _total):
    yield lambda _count: None


@pytest.fixture
def folder(tmp_path):
    """Both files, in our words: all emotional posts but the last are queries too."""
    plus = [f"What of {label} number {i}?" for label in EMOTIONS for i in range(50)]
    queries = {
        label: [*plus[50 * k : 50 * k + 50], f"A further one of {label}?"]
        for k, label in enumerate(EMOTIONS)
    }
    queries["sadness"].remove(plus[249])
    plus += [f"Where is the salt, cook {i}?" for i in range(150)]
    (tmp_path / "EmotionQuery.json").write_text(json.dumps(queries), encoding="utf-8")
    (tmp_path / "EmotionQuery+.json").write_text(json.dumps(plus), encoding="utf-8")
    return tmp_path


@pytest.fixture(scope="module")
def tiny():
    system = steered.tiny()
    return system._lm, of_paper_only(system.vectors)


def answered(tiny, folder, tmp_path, *, controls=True, each=1):
    lm, vectors = tiny
    wanted = conditions(vectors.labels, controls=controls)
    posts = read_queries(folder, each)
    return posts, dict(answer_all(lm, vectors, posts, wanted, tmp_path, SHORT, bar=no_bar))


def test_the_posts_know_their_part_and_whether_vectors_may_have_seen_them(folder):
    whole = read_queries(folder)
    assert (whole.leaked, whole.emotional, len(whole.posts)) == (249, 250, 400)
    assert sum("unseen" in e.id for e in whole.posts) == 151
    assert whole.posts[249].id == "emotional-unseen-249"
    assert whole.posts[0].id == "emotional-seen-0"
    few = read_queries(folder, 2, queries=3)
    assert [e.id for e in few.posts[:3]] == [
        "emotional-seen-0", "emotional-seen-25", "emotional-seen-50",
    ]  # fmt: skip
    assert sum(e.id.startswith("neutral") for e in few.posts) == 6
    assert (len(few.queries), few.leaked) == (15, 249)  # the leak is that of the whole
    assert few.digest != whole.digest


def test_held_out_queries_are_no_posts(folder):
    kept = read_queries(folder, held_out=True).queries
    assert [e.dialogue.posts[-1].text for e in kept] == [
        f"A further one of {label}?" for label in EMOTIONS
    ]


def test_a_folder_without_the_files_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"EmotionQuery\.json"):
        read_queries(tmp_path)
    (tmp_path / "EmotionQuery.json").write_text('{"joy": ["One?"]}', encoding="utf-8")
    (tmp_path / "EmotionQuery+.json").write_text('["One?"]', encoding="utf-8")
    with pytest.raises(DataError, match="queries of EmotionQuery"):
        read_queries(tmp_path, held_out=True)


def test_the_base_is_the_mean_of_the_papers_emotions(tiny):
    _, vectors = tiny
    assert vectors.labels == (*EMOTIONS, BASE)
    mean = sum(vectors[label] for label in EMOTIONS) / 5
    assert torch.allclose(vectors[BASE], mean, atol=1e-6)
    with pytest.raises(Unsupported, match="two or more"):
        of_paper_only(vectors.only("joy"))


def test_the_papers_vectors_are_made_once_and_belong_to_their_queries(
    folder, tmp_path, monkeypatch
):
    lm = steered.tiny()._lm
    monkeypatch.setattr(paper_answers, "PRESETS", {"paper": {**PRESETS["paper"], "tokens": 4}})
    path = tmp_path / "vectors.safetensors"
    queries = read_queries(folder, queries=1).queries
    made = paper_vectors(lm, queries, path)
    assert made.labels == (*EMOTIONS, BASE)
    assert (made.card.site, made.card.positions) == ("attn_out", "last")
    stamp = path.stat().st_mtime_ns
    assert torch.equal(paper_vectors(lm, queries, path)["joy"], made["joy"])
    assert path.stat().st_mtime_ns == stamp
    with pytest.raises(ConfigError, match="other queries"):
        paper_vectors(lm, queries[:3], path)


def test_random_vectors_have_the_length_of_each_block_and_go_by_the_seed(tiny):
    _, vectors = tiny
    drawn = random_vectors(vectors, 1)
    for label in vectors.labels:
        assert torch.allclose(drawn[label].norm(dim=-1), vectors[label].norm(dim=-1), rtol=1e-5)
        assert float(torch.cosine_similarity(drawn[label], vectors[label], dim=-1).max()) < 0.8
    assert torch.equal(drawn["joy"], random_vectors(vectors, 1)["joy"])
    assert not torch.equal(drawn["joy"], random_vectors(vectors, 2)["joy"])


def test_an_answer_is_that_of_the_steered_model_at_the_multiple(tiny, folder, tmp_path):
    lm, vectors = tiny
    posts, answers = answered(tiny, folder, tmp_path, controls=False)
    system = steered.Steered(lm, vectors, steered.Config(candidates=1))
    dialogues = [e.dialogue for e in posts.posts]
    for alpha in (-1.0, 4.0):
        direct = system.reply_raw(dialogues, [{"fear": alpha}] * len(dialogues), decoding=SHORT)
        ours = answers[Condition("vector", "fear", alpha)]
        assert [r.text for _, r in ours] == [r.text for r in direct]
        assert [e.id for e, _ in ours] == [e.id for e in posts.posts]
        assert ours[0][1].applied["dose"] == {"fear": alpha}
    plain = answers[Condition("plain")]
    assert plain[0][1].applied["dose"] == {}
    assert [r.seed for _, r in plain] == list(range(len(posts.posts)))
    assert [r.text for _, r in plain] != [r.text for _, r in ours]


def test_a_killed_run_goes_on_and_another_one_is_refused(tiny, folder, tmp_path):
    lm, vectors = tiny
    place = tmp_path / "replies"
    posts, before = answered(tiny, folder, place, controls=False)
    path = place / "vector-joy-2.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:2]) + lines[2][:30], encoding="utf-8")
    _, after = answered(tiny, folder, place, controls=False)
    assert [r.text for _, r in after[Condition("vector", "joy", 2.0)]] == [
        r.text for _, r in before[Condition("vector", "joy", 2.0)]
    ]
    longer = dataclasses.replace(SHORT, max_tokens=5)
    with pytest.raises(ConfigError, match=r"decoding\.max_tokens"):
        list(answer_all(lm, vectors, posts, [Condition("plain")], place, longer, bar=no_bar))


def test_controls_are_told_pushed_or_both(tiny):
    lm, vectors = tiny
    dialogue = [Dialogue.of("How was it?")]

    def one(kind, alpha=0.0) -> Reply:
        system, mix = responder(lm, vectors, Condition(kind, "joy", alpha))
        return system.reply(dialogue, [mix], decoding=SHORT)[0]

    both, told, drawn = one("prompt + vector", 2.0), one("prompted"), one("random", 2.0)
    assert both.applied["dose"] == {"joy": 2.0}
    assert "happy" in both.applied["told"]
    assert "happy" in told.applied["told"]
    assert told.applied["tier"] == "none"
    assert drawn.applied["dose"] == {"joy": 2.0}
    assert drawn.applied["told"] == ""
    # Seed 0 drew the tiny vectors themselves.
    texts = {
        responder(lm, vectors, Condition(kind, "joy", 2.0), seed=1)[0]
        .reply(dialogue, [None], decoding=Decoding(max_tokens=16))[0]
        .text
        for kind in ("vector", "random")
    }
    assert len(texts) == 2


def test_each_line_is_held_against_its_emotion(tiny, folder, tmp_path):
    posts, answers = answered(tiny, folder, tmp_path)
    rows = rows_of(answers)
    size = len(posts.posts)
    assert len(rows) == 5 + 4 + 4
    assert {len(pairs) for pairs in rows.values()} == {5 * size}
    asked = [str(reply.emotion) for _, reply in rows[VECTOR, -1.0]]
    assert asked == [f"{label}:100" for label in EMOTIONS for _ in range(size)]
    # Anger's line holds disgust's answers; sadness's, at the end, holds anger's.
    other = [r.text for _, r in rows[ANOTHER, 2.0]]
    assert other[:size] == [r.text for _, r in answers[Condition("vector", "disgust", 2.0)]]
    assert other[-size:] == [r.text for _, r in answers[Condition("vector", "anger", 2.0)]]
    plain = [r.text for _, r in answers[Condition("plain")]]
    assert [r.text for _, r in rows[VECTOR, 0.0]] == plain * 5


@pytest.fixture
def heard(monkeypatch):
    judge = WordJudge("en-score-1-00000000:ekman")
    monkeypatch.setattr(instruments, "_emotion", lambda _wanted: judge)
    monkeypatch.setattr(
        instruments,
        "_embed",
        lambda _wanted: lambda texts: np.eye(8)[[len(text) % 8 for text in texts]],
    )
    return judge


def said(answers):
    """Let the vector of an emotion say its name, at 2 and 4 times, but to the first post."""
    return {
        condition: [
            (
                e,
                dataclasses.replace(
                    r, text=condition.emotion if condition.alpha >= 2 and i else "nothing"
                ),
            )
            for i, (e, r) in enumerate(pairs)
        ]
        for condition, pairs in answers.items()
    }


def test_the_scores_are_those_counted_by_hand(tiny, folder, tmp_path, heard):
    posts, answers = answered(tiny, folder, tmp_path)
    second = WordJudge("nli-tiny-1-00000000:ekman")
    table = score_table(said(answers), posts, others=[second], rounds=50, bar=no_bar)
    rows = {(row.name, row.alpha): row for row in table.rows}
    share = (len(posts.posts) - 1) / len(posts.posts)
    for name in ("en-score-1-00000000:ekman", "nli-tiny-1-00000000:ekman"):
        twice = rows[VECTOR, 2.0].judged[name]
        assert twice.total["asked_share"].value == pytest.approx(share)
        assert twice.total["emotional_share"].value == pytest.approx(share)
        assert twice.total["asked_probability"].value == pytest.approx(
            0.8 * share + (1 - share) * 0.2 / 6
        )
        assert twice.per_emotion["joy"]["asked_share"].value == pytest.approx(share)
        assert twice.per_part["unseen"]["asked_share"].value == 1.0  # the first is a seen one
        assert rows[VECTOR, -1.0].judged[name].total["asked_share"].value == 0.0
        assert rows[ANOTHER, 2.0].judged[name].total["asked_share"].value == 0.0
        assert rows[BASE, 2.0].judged[name].total["emotional_share"].value == 0.0
        assert rows["prompted", 0.0].judged[name].total["asked_share"].value == 0.0
    low, high = (getattr(rows[VECTOR, 2.0].judged[heard.name].total["asked_share"], k)
                 for k in ("low", "high"))  # fmt: skip
    assert low < share <= high
    assert rows[VECTOR, 0.0].answers == len(posts.posts)
    assert rows[VECTOR, 2.0].answers == 5 * len(posts.posts)
    assert rows[VECTOR, 0.0].textual.total["similarity_neutral"].value == 1.0
    assert rows[VECTOR, 2.0].textual.total["similarity_neutral"].value < 1.0
    assert "perplexity" in next(iter(table.left_out.values()))


def test_what_is_written_names_leak_judges_intervals_and_published_figures(
    tiny, folder, tmp_path, heard
):
    posts, answers = answered(tiny, folder, tmp_path, controls=False)
    table = score_table(
        said(answers), posts, rounds=20, bar=no_bar, manifest={"seed": 3, "judges": {}}
    )
    row = json.loads(json.dumps(table_json(table), allow_nan=False))
    assert "249 of the 250" in row["leak"]
    assert row["manifest"]["seed"] == 3
    assert heard.name in row["manifest"]["judges"]
    number = row["rows"][3]["judged"][heard.name]["all"]["asked_share"]
    assert row["rows"][3]["alpha"] == 2.0
    assert number["low"] <= number["value"] <= number["high"]
    page = table_markdown(table, {"Llama + 2 EV": 1.0}, "Other judges.")
    for text in ("249 of the 250", heard.name, "| Llama + 2 EV | 1.000 |", "Other judges.",
                 "| vector | 2 | 0.875 [", "| llama3.1 | 0.020 | 0.011 |", "unseen"):  # fmt: skip
        assert text in page
    assert ANOTHER not in page


def test_a_judge_that_touched_the_vectors_is_refused(tiny, folder, tmp_path, heard):
    posts, answers = answered(tiny, folder, tmp_path, controls=False)
    touched = {
        c: [(e, dataclasses.replace(r, applied={"judges": ["en-score"]})) for e, r in pairs]
        for c, pairs in answers.items()
    }
    with pytest.raises(UsageError, match="touched the training"):
        score_table(touched, posts, rounds=5, bar=no_bar)
    score_table(touched, posts, rounds=5, same_judge=True, bar=no_bar)


# -- the judge of entailment ----------------------------------------------------------------------


def entailment(folder, labels=("contradiction", "neutral", "ENTAILMENT")):
    """Write a random model of entailment over words."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "i", "won", "lost", "it", ".", "this", "text",
             "expresses", *LABELS]  # fmt: skip
    known = {word: i for i, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(known, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]",
        sep_token="[SEP]", model_max_length=64,
    )  # fmt: skip
    config = BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=64, initializer_range=0.5,
        id2label=dict(enumerate(labels)), label2id={k: i for i, k in enumerate(labels)},
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        BertForSequenceClassification(config).eval().save_pretrained(folder)
    fast.save_pretrained(folder)


def test_entailment_judges_as_the_pipeline_of_transformers_does(tmp_path):
    from transformers import pipeline

    entailment(tmp_path)
    texts = ["i won it .", "i lost", "won won", "lost it .", "i i i"]
    judge = open_nli(tmp_path)
    ours = judge.classify(texts)
    theirs = pipeline("zero-shot-classification", model=str(tmp_path))(
        texts, candidate_labels=list(LABELS), hypothesis_template=TEMPLATE
    )
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.label == other["labels"][0]
        for label, score in zip(other["labels"], other["scores"], strict=True):
            assert mine.probabilities[label] == pytest.approx(score, abs=1e-5)
    assert judge.taxonomy.neutral == "neutral"
    assert len({s.label for s in ours} | {judge.name}) > 1


def test_a_folder_that_knows_no_entailment_is_refused(tmp_path):
    with pytest.raises(ModelMissing, match="holds no model"):
        open_nli(tmp_path)
    entailment(tmp_path, ("a", "b", "c"))
    with pytest.raises(Unsupported, match="a, b, c"):
        open_nli(tmp_path)
