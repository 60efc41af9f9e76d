"""ECM's emotion words: the file, and how the lists are made."""

from __future__ import annotations

import json
import math
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotone.cli import main
from emotone.cli.data_ememory import ememory
from emotone.data.ememory import (
    LEAST_ODDS,
    LEAST_Z,
    check_ememory,
    from_lexicon,
    from_log_odds,
    labelled_words,
    read_ememory,
    write_ememory,
)
from emotone.data.lexicons import DUTIR, Lexicon
from emotone.emotions import DAILYDIALOG, EKMAN, NLPCC, Emotion, EmotionMix
from emotone.errors import DataError, UsageError
from emotone.types import Dialogue, Example, Post, Speaker

SIX = ([], ["喜欢", "爱"], ["难过"], ["恶心"], ["生气"], ["开心", "爱"])
FILLER = ("今天", "我们", "的", "了", "一个", "去")
SAID = {
    "other": ("大概", "几点"),
    "like": ("可爱", "喜欢"),
    "sadness": ("难过", "想哭"),
    "disgust": ("恶心", "讨厌"),
    "anger": ("生气", "气死"),
    "happiness": ("开心", "哈哈"),
}


def texts(seed: int = 0, count: int = 900) -> list[tuple[list[str], str]]:
    """Texts of filler in which a class says its own words often and others' seldom."""
    draw = random.Random(seed)
    rows = []
    for _ in range(count):
        label = draw.choice(NLPCC.labels)
        says = label if draw.random() < 0.9 else draw.choice(NLPCC.labels)
        words = [*draw.choices(FILLER, k=5), draw.choice(SAID[says])]
        draw.shuffle(words)
        rows.append((words, label))
    return rows


def test_file_comes_back(tmp_path):
    write_ememory(tmp_path / "v.ememory", SIX)
    assert read_ememory(tmp_path / "v.ememory") == tuple(tuple(words) for words in SIX)
    assert json.loads((tmp_path / "v.ememory").read_text(encoding="utf-8")) == list(SIX)
    assert [p.name for p in tmp_path.iterdir()] == ["v.ememory"]


BAD = {
    "five lists": ('[[],["a"],["a"],["a"],["a"]]', "one list for each of other, like"),
    "an object": ('{"other": []}', "one list for each"),
    "an empty class": ('[[],[],["a"],["a"],["a"],["a"]]', "list of like is empty; only .* other"),
    "text for a list": ('[[],"a",["a"],["a"],["a"],["a"]]', "entry of like is not a list"),
    "a number": ('[[],[1],["a"],["a"],["a"],["a"]]', "list of like holds 1, which is not a word"),
    "a blank": ('[[],[" "],["a"],["a"],["a"],["a"]]', "like holds ' ', which is not a word"),
    "twice": ('[[],["b","a","b"],["a"],["a"],["a"],["a"]]', "like holds 'b' twice"),
    "half a pair": ('[[],["\\ud800"],["a"],["a"],["a"],["a"]]', "is not a word"),
    "no json": ("[[", "no JSON"),
    "deep": ("[" * 100_000, "no JSON"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_refused_with_their_name(tmp_path, case):
    content, message = BAD[case]
    path = tmp_path / "v.ememory"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=rf"v\.ememory: .*{message}"):
        read_ememory(path)


def test_bad_lists_are_not_written(tmp_path):
    with pytest.raises(DataError, match="list of anger is empty"):
        write_ememory(tmp_path / "v.ememory", [*SIX[:4], [], ["开心"]])
    with pytest.raises(DataError, match="one list for each"):
        check_ememory("abcdef")
    assert list(tmp_path.iterdir()) == []


def lexicon() -> Lexicon:
    words = {
        "乐": {"开心", "哈哈"}, "好": {"可爱", "中意"}, "怒": {"生气"}, "哀": {"难过", "哈哈"},
        "惧": {"发抖"}, "恶": {"恶心"}, "惊": {"愣住"},
    }  # fmt: skip
    return Lexicon("l", DUTIR, {label: frozenset(said) for label, said in words.items()}, "own")


def test_from_lexicon_takes_the_order_and_the_words_of_the_vocabulary():
    vocabulary = ["的", "中意", "恶心", "可爱", "哈哈", "生气", "难过", "开心", "愣住", "可爱"]
    assert from_lexicon(lexicon(), vocabulary) == (
        ("愣住",),
        ("中意", "可爱"),
        ("难过",),
        ("恶心",),
        ("生气",),
        ("开心",),  # 哈哈 is a word of two classes
    )
    assert from_lexicon(lexicon(), vocabulary, size=1)[1] == ("中意",)
    assert from_lexicon(lexicon())[0] == ("发抖", "愣住")
    with pytest.raises(DataError, match="list of anger is empty"):
        from_lexicon(lexicon(), ["开心", "可爱", "难过", "恶心"])


def test_from_log_odds_finds_the_words_of_each_class():
    made = from_log_odds(texts(), size=5, min_count=5)
    assert made[0] == ()
    for label, words in zip(NLPCC.labels[1:], made[1:], strict=True):
        assert set(words) == set(SAID[label])
    assert set(from_log_odds(texts(), size=5, min_count=5, neutral=True)[0]) == set(SAID["other"])
    assert from_log_odds(texts(), size=5, min_count=5) == made
    assert from_log_odds(reversed(texts()), size=5, min_count=5) == made


def test_size_min_count_and_vocabulary_bound_the_lists():
    assert [len(words) for words in from_log_odds(texts(), size=1)] == [0, 1, 1, 1, 1, 1]
    vocabulary = [SAID[label][1] for label in NLPCC.labels]
    made = from_log_odds(texts(), vocabulary)
    assert made == ((), *((SAID[label][1],) for label in NLPCC.labels[1:]))
    with pytest.raises(DataError, match="give more texts of it, or a lower min_count"):
        from_log_odds(texts(), min_count=10_000)
    for wrong in ({"size": 0}, {"min_count": 0}, {"prior": 0.0}, {"prior": math.nan}):
        with pytest.raises(DataError, match="use whole numbers from 1"):
            from_log_odds(texts(), **wrong)
    with pytest.raises(DataError, match="label 'joi' of a text"):
        from_log_odds([(["好"], "joi")])


def test_common_words_of_a_class_and_signs_are_no_emotion_words():
    rows = [([*words, *("我" if label == "sadness" else ""), "！", "我"], label)
            for words, label in texts()]  # fmt: skip
    rows += [(["！！", *words], label) for words, label in texts() if label == "anger"]
    made = from_log_odds(rows, min_count=5)
    assert "我" not in made[2]
    assert "！！" not in made[4]
    assert set(made[2]) == set(SAID["sadness"])


def z_of_monroe(rows, word, label, prior):
    """The formula once more, from the paper: sums over words, no shared parts."""
    y = {side: Counter() for side in (True, False)}
    for words, said in rows:
        y[said == label].update(words)
    everything = y[True] + y[False]
    alpha = {w: prior * c / sum(everything.values()) for w, c in everything.items()}
    a0 = sum(alpha.values())
    omega, variance = {}, 0.0
    for side in (True, False):
        n = sum(y[side].values())
        top = y[side][word] + alpha[word]
        omega[side] = math.log(top / (n + a0 - top))
        variance += 1 / top
    d = omega[True] - omega[False]
    return d / math.sqrt(variance), d


@given(seed=st.integers(0, 10_000), prior=st.sampled_from([1.0, 50.0, 1000.0]))
def test_lists_are_those_of_the_formula(seed, prior):
    rows = texts(seed, 300)
    try:
        made = from_log_odds(rows, size=3, min_count=3, prior=prior, neutral=True)
    except DataError:
        return  # a class of these few texts has no word of its own
    everything = Counter(word for words, _ in rows for word in words)
    best: dict[str, list[tuple[float, str]]] = {label: [] for label in NLPCC.labels}
    for word, count in everything.items():
        (z, d), label = max(
            (z_of_monroe(rows, word, label, prior), label) for label in NLPCC.labels
        )
        if count >= 3 and z > LEAST_Z and d >= math.log(LEAST_ODDS):
            best[label].append((z, word))
    for label, words in zip(NLPCC.labels, made, strict=True):
        zs = dict((word, z) for z, word in best[label])
        assert len(words) == min(3, len(zs))
        assert [zs[w] for w in words] == pytest.approx(sorted(zs.values(), reverse=True)[:3])
    said = [word for words in made for word in words]
    assert len(said) == len(set(said))


def test_labelled_words_are_replies_and_last_posts_with_one_emotion():
    joy, mix = EmotionMix.parse("joy"), EmotionMix.parse("joy:60 + fear:20")
    angry = Emotion("anger", "nlpcc")
    history = (
        Post("早", emotion=angry),
        Post("嗯", Speaker.ASSISTANT),
        Post("真烦", emotion=angry),
    )
    examples = [
        Example("1", Dialogue(history), joy, "开心 一点", "zh"),
        Example("2", Dialogue.of("好"), mix, "好的", "zh"),
        Example("3", Dialogue.of("Hello"), joy, "So glad!", "en"),
        Example("4", Dialogue.of("Hello"), joy, None, "en"),
    ]
    assert list(labelled_words(examples)) == [
        (["开心", "一点"], "happiness"),
        (["真烦"], "anger"),
        (["so", "glad", "!"], "happiness"),
    ]


def test_a_text_of_a_label_counts_once():
    joy, sad = EmotionMix.parse("joy"), EmotionMix.parse("sadness")
    post = Dialogue((Post("真 烦", emotion=Emotion("anger", "nlpcc")),))
    turned = Dialogue((Post("嗯", Speaker.ASSISTANT), Post("开心", emotion=joy.at_full)))
    examples = [
        Example("1", post, joy, "开心", "zh"),
        Example("2", post, sad, "开 心", "zh"),
        Example("3", turned, joy, "哈哈", "zh"),
    ]
    assert list(labelled_words(examples)) == [
        (["开心"], "happiness"),
        (["真烦"], "anger"),
        (["开心"], "sadness"),
        (["哈哈"], "happiness"),
    ]


def test_command_writes_from_a_word_list_and_from_examples(tmp_path, capsys):
    source, out = tmp_path / "words.tsv", tmp_path / "v.ememory"
    lines = [f"{word}\t{label}" for label, words in SAID.items() for word in words]
    source.write_text("\n".join(lines), encoding="utf-8")
    ememory(out, from_lexicon=source, size=1)
    assert [len(words) for words in read_ememory(out)] == [1] * 6
    assert "other 1, like 1" in capsys.readouterr().out

    examples = tmp_path / "examples.jsonl"
    rows = [
        {"post": "在吗", "reply": "".join(words), "emotion": label, "lang": "zh",
         "taxonomy": "nlpcc"}
        for words, label in texts()
    ]  # fmt: skip
    examples.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    vocabulary = tmp_path / "vocab.txt"
    vocabulary.write_text("开心\n难过\n恶心\n生气\n可爱\n", encoding="utf-8")
    ememory(out, from_examples=examples, vocabulary=vocabulary)
    assert read_ememory(out) == ((), ("可爱",), ("难过",), ("恶心",), ("生气",), ("开心",))
    with pytest.raises(UsageError, match="give one of"):
        ememory(out)
    with pytest.raises(UsageError, match="give one of"):
        ememory(out, from_lexicon=source, from_examples=examples)


def test_command_line_reaches_it_and_refuses_in_one_sentence(tmp_path, capsys, monkeypatch):
    out = tmp_path / "v.ememory"
    argv = ["emotone", "data", "ememory", "--output", str(out), "--from-lexicon"]
    (tmp_path / "words.tsv").write_text("开心\thappiness\n", encoding="utf-8")
    monkeypatch.setattr("sys.argv", [*argv, str(tmp_path / "words.tsv")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("emotone: the list of like is empty")
    assert not out.exists()


def test_another_label_set_has_lists_of_its_own(tmp_path):
    seven = (["hate"], ["gross"], ["scary"], ["great"], ["sorry"], ["wow"], [])
    write_ememory(tmp_path / "e", seven, EKMAN)
    assert read_ememory(tmp_path / "e", EKMAN)[5] == ("wow",)
    with pytest.raises(DataError, match="one list for each of other, like"):
        read_ememory(tmp_path / "e")
    with pytest.raises(DataError, match=r"list of fear is empty; only that of neutral may be"):
        check_ememory((*seven[:2], [], *seven[3:]), EKMAN)


def test_log_odds_of_another_label_set():
    rows = [
        (["it", "is", word], label) for label, word in zip(EKMAN.labels, "abcdefg", strict=True)
    ]
    lists = from_log_odds(rows * 60, taxonomy=EKMAN)
    assert lists == (("a",), ("b",), ("c",), ("d",), ("e",), ("f",), ())


def test_stronger_words_are_fewer():
    rows = texts()
    weak = from_log_odds([*rows, (["今天"], "anger")], min_count=1, least_z=0.01, least_odds=1.0)
    strong = from_log_odds(rows, min_count=1)
    assert all(set(s) <= set(w) for s, w in zip(strong, weak, strict=True))
    assert sum(map(len, weak)) > sum(map(len, strong))
    with pytest.raises(DataError, match="is empty"):
        from_log_odds(rows, least_z=1e6)
    with pytest.raises(DataError, match="is empty"):
        from_log_odds(rows, least_odds=1e6)


def test_labels_of_examples_are_mapped_to_another_set():
    example = Example(
        "1", Dialogue.of("hi"), EmotionMix.parse("happiness", DAILYDIALOG), "so glad", "en"
    )
    assert list(labelled_words([example], EKMAN)) == [(["so", "glad"], "joy")]
