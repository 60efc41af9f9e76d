"""Each line of a file goes to the model of its language, and says in which it is answered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import emotone
from emotone.door import Door, open_door
from emotone.errors import UsageError
from emotone.recurrent.responder import Recurrent, tiny_corpus, tiny_sizes
from emotone.systems import ecm
from emotone.types import Decoding

ROWS: list[dict[str, Any]] = [
    {"post": "i am sad", "emotion": "sadness"},
    {"post": "我很难过", "emotion": "sadness"},
    {"post": "you are good", "lang": "en"},
    {"post": "你很开心", "emotion": "joy"},
    {"post": "i am glad", "emotion": "fear"},
    {"post": "你很好", "lang": "en"},
]
LANGS = ["en", "zh", "en", "zh", "en", "en"]
SHORT = Decoding(max_tokens=5)


def tiny(lang: Any) -> Recurrent:
    corpus = tiny_corpus(lang, {"en": "ekman", "zh": "nlpcc"}[lang])
    config = ecm.Config(sizes=tiny_sizes(), parts=ecm.Parts(width=8, memory=8))
    return Recurrent.of("ecm", f"ecm-{lang}", ecm.build, config, corpus)


@pytest.fixture(autouse=True)
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The models that were loaded."""
    names: list[str] = []

    def load(model: str, *, device: str, config: Any) -> Recurrent:
        names.append(model)
        return tiny(model.rpartition("-")[2])

    monkeypatch.setattr(ecm, "load", load)
    return names


def answered(folder: Path, rows: list[dict[str, Any]], **options: Any) -> list[dict[str, Any]]:
    (folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    out = folder / "out.jsonl"
    emotone.generate(
        folder / "in.jsonl", out, system="ecm", decoding=SHORT, device="cpu", **options
    )
    return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]


def test_each_line_is_answered_in_its_own_language_in_the_order_of_the_file(tmp_path: Path):
    rows = answered(tmp_path, ROWS)
    assert [row["lang"] for row in rows] == LANGS
    assert [row["model"] for row in rows] == [f"ecm-{lang}" for lang in LANGS]
    assert [row["seed"] for row in rows] == list(range(6))
    emotions = ["sadness:100", "sadness:100", None, "happiness:100", "fear:100", None]
    assert [row["emotion"] for row in rows] == emotions


def test_replies_are_those_of_each_line_alone_and_of_shards(tmp_path: Path):
    whole = answered(tmp_path, ROWS)
    parts = []
    for shard in ("1/2", "2/2"):
        (tmp_path / shard[0]).mkdir()
        parts += answered(tmp_path / shard[0], ROWS, shard=shard)
    assert [row["text"] for row in parts] == [row["text"] for row in whole]
    door = open_door("ecm", device="cpu")
    alone = [
        door.reply(r["post"], r.get("emotion"), seed=i, decoding=SHORT).text
        for i, r in enumerate(ROWS[:5])
    ]
    assert [row["text"] for row in whole[:5]] == alone


def test_a_kill_between_two_languages_is_gone_on_from(tmp_path: Path):
    whole = answered(tmp_path, ROWS)
    out = tmp_path / "out.jsonl"
    lines = out.read_text(encoding="utf-8").splitlines(keepends=True)
    out.write_text("".join(lines[:3]) + '{"id": "4", "dia', encoding="utf-8")
    assert answered(tmp_path, ROWS) == whole


def test_one_emotion_for_all_is_read_by_the_labels_of_each_model(tmp_path: Path):
    rows = answered(tmp_path, ROWS, emotion="joy")
    asked = {"en": "joy:100", "zh": "happiness:100"}
    assert [row["emotion"] for row in rows] == [asked[lang] for lang in LANGS]


def test_a_language_that_is_given_is_that_of_every_line(tmp_path: Path, loaded):
    rows = answered(tmp_path, ROWS, lang="en")
    assert {(row["lang"], row["model"]) for row in rows} == {("en", "ecm-en")}
    assert loaded == ["ecm-en"]


def test_a_model_that_is_named_does_not_answer_a_file_of_two_languages(tmp_path: Path):
    with pytest.raises(UsageError, match=r"holds en and zh, and ecm-en answers in en only.*--lang"):
        answered(tmp_path, ROWS, model="ecm-en")
    assert {r["lang"] for r in answered(tmp_path, ROWS, model="ecm-en", lang="en")} == {"en"}
    with pytest.raises(UsageError, match="ecm-en answers in en, and the language asked for is zh"):
        answered(tmp_path, ROWS, model="ecm-en", lang="zh", restart=True)


def test_another_language_does_not_go_on_with_a_file(tmp_path: Path):
    answered(tmp_path, ROWS, lang="en")
    with pytest.raises(UsageError, match="lang"):
        answered(tmp_path, ROWS, lang="zh")


def test_posts_that_the_model_cannot_read_are_counted(tmp_path: Path):
    notes: list[str] = []
    rows = [*ROWS, {"post": "Ich bin heute nicht traurig"}, {"post": "슬퍼요"}, {"post": "😀"}]
    answered(tmp_path, [*rows, {"post": "zxqv blorf"}, {"post": "qqq www"}], note=notes.append)
    ends = "; the replies may not be to the point"
    assert sorted(notes) == sorted(
        [
            f"1 post is in Chinese, which the model is not made for{ends}",
            f"1 post is in German, which the model is not made for{ends}",
            f"1 post is in Korean, which the model is not made for{ends}",
            f"1 post is without a word{ends}",
            f"2 posts are of words that the model does not know{ends}",
        ]
    )


@pytest.mark.parametrize(
    ("post", "piece"),
    [
        ("你好", "in Chinese"),
        ("Привет, как дела?", "in Russian"),
        ("مرحبا", "in Arabic"),
        ("今日はとても悲しい", "in Japanese"),
        ("\u200b\u200d", "without a word"),
        ("i am very happy", None),
    ],
)
def test_the_door_notes_what_an_english_model_cannot_read(post: str, piece: str | None):
    notes: list[str] = []
    reply = Door.of(tiny("en")).reply(post, decoding=SHORT, note=notes.append)
    assert reply.system == "ecm"
    assert len(notes) == (piece is not None)
    assert piece is None or f"the post is {piece}" in notes[0]


def test_traditional_chinese_is_read_as_simplified():
    pytest.importorskip("opencc")
    door = Door.of(tiny("zh"))
    replies = [door.reply(post, "like", decoding=SHORT).text for post in ("我很難過", "我很难过")]
    assert replies[0] == replies[1]
    assert tiny("zh").known_words("我很難過") == tiny("zh").known_words("我很难过")


def test_traditional_chinese_without_the_extra_is_noted(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("emotone.data.scripts.converter", lambda: None)
    notes: list[str] = []
    Door.of(tiny("zh")).reply("我很難過", decoding=SHORT, note=notes.append)
    assert "traditional Chinese" in notes[0]
    assert "emotone[traditional]" in notes[0]
