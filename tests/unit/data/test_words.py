"""One rule makes words of training texts and of posts that are asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotone.data.reading import Problems
from emotone.data.source import open_source
from emotone.data.vocab import SPECIALS, Vocabulary
from emotone.data.words import Words, cut
from emotone.errors import ConfigError, DataError, UsageError
from emotone.recurrent.config import Data, Sizes
from emotone.recurrent.corpus import read_corpus
from emotone.recurrent.folder import load_folder
from emotone.recurrent.responder import Recurrent
from emotone.systems import a_seq2seq
from emotone.training import Training
from emotone.types import Decoding, Dialogue

#: Weibo as it is: tags, emoji, ASCII signs, dots, runs.
POSTS = (
    "#早安# 今天 真 开心 !",
    "你 怎么 了 ? ? ?",
    "哈哈哈哈哈哈 😀 太 好 了",
    "等 一下 ... 好 吧",
    "我 很 喜欢 你 !",
    "（ 笑 ） 真 的 吗",
)


def write(folder: Path, pairs: list[tuple[str, str]]) -> Path:
    rows = [[[post, 1, 1], [[reply, 1, 1]]] for post, reply in pairs]
    (folder / "train.json").write_text(json.dumps(rows, ensure_ascii=False), "utf-8")
    return folder / "train.json"


def prepared(folder: Path, pairs: list[tuple[str, str]], *, keep_words: bool = False) -> Data:
    from emotone.data.examples import write_jsonl

    source = open_source("ecm", write(folder, pairs), Problems(), keep_words=keep_words)
    write_jsonl(source.examples, folder / "train.jsonl")
    return Data(folder / "train.jsonl", folder / "train.jsonl")


def asked(data: Data, text: str) -> tuple[int, ...]:
    """Ids of a post as a model trained on these pairs reads it."""
    corpus = read_corpus(data, emotional=False)
    config = a_seq2seq.Config(data=data, sizes=Sizes(embedding=4, encoder_hidden=4, hidden=4))
    responder = Recurrent.of("a_seq2seq", "tiny", a_seq2seq.build, config, corpus)
    return responder._post(Dialogue.of(text))


@pytest.mark.parametrize("keep_words", [False, True])
def test_a_training_post_is_asked_as_it_was_learnt(keep_words: bool, tmp_path: Path):
    data = prepared(tmp_path, [(post, post) for post in POSTS], keep_words=keep_words)
    if keep_words:
        data = Data(data.train, data.dev, words="corpus")
    corpus = read_corpus(data, emotional=False)
    for post, pair in zip(POSTS, corpus.train, strict=True):
        assert asked(data, post) == pair.post, post
        assert asked(data, post.replace(" ", "")) == pair.post or keep_words, post


def test_the_corpus_keeps_its_words_where_it_is_asked_to(tmp_path: Path):
    plain = read_corpus(prepared(tmp_path, [("我 就是 喜欢 你", "好 滴呀")]), emotional=False)
    assert "滴呀" not in plain.vocabulary.words
    data = prepared(tmp_path, [("我 就是 喜欢 你", "好 滴呀 , 10 次!")], keep_words=True)
    kept = read_corpus(Data(data.train, data.dev, words="corpus"), emotional=False)
    words = {"我", "就是", "喜欢", "你", "好", "滴呀", ",", "10", "次", "!"}
    assert set(kept.vocabulary.words[4:]) == words
    # The blanks do no harm where they are not wanted.
    assert read_corpus(data, emotional=False).vocabulary.id("滴呀") == 1


def test_texts_without_blanks_are_said(tmp_path: Path):
    data = prepared(tmp_path, [("我 很 好", "我 也 好")])
    with pytest.raises(DataError, match=r"holds a blank.*--keep-words"):
        read_corpus(Data(data.train, data.dev, words="corpus"), emotional=False)
    (tmp_path / "dev.jsonl").write_bytes(data.train.read_bytes())
    with_blanks = prepared(tmp_path, [("我 很 好", "我 也 好")], keep_words=True)
    mixed = Data(with_blanks.train, tmp_path / "dev.jsonl", words="corpus")
    with pytest.raises(DataError, match=r"no text of dev\.jsonl holds a blank"):
        read_corpus(mixed, emotional=False)


def test_only_corpora_that_have_words_keep_them(tmp_path: Path):
    with pytest.raises(UsageError, match="which is for ecm, ecm_files, nlpcc2017"):
        open_source("lccc", tmp_path, Problems(), keep_words=True)
    with pytest.raises(UsageError, match="leave --keep-words out"):
        open_source("a.jsonl", None, Problems(), keep_words=True)


VOCABULARY = Vocabulary((*SPECIALS, "我", "喜欢", "你", "北京", "大学", "北京大学", "生", "大学生"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("我喜欢你", "我 喜欢 你"),
        ("北京大学", "北京大学"),
        ("北京大学生", "北京 大学生"),
        ("我爱你", "我 爱 你"),
        ("我喜欢iPhone15你", "我 喜欢 iPhone15 你"),
        ("坐地铁", "坐 地 铁"),
    ],
)
def test_a_post_without_blanks_is_cut_by_the_vocabulary(text: str, words: str):
    assert cut(text, VOCABULARY) == words.split()


def test_perplexity_reads_replies_without_blanks_too(tmp_path: Path):
    data = prepared(tmp_path, [("我 很 好", "我 也 喜欢 你")] * 3, keep_words=True)
    kept = Data(data.train, data.dev, words="corpus")
    corpus = read_corpus(kept, emotional=False)
    config = a_seq2seq.Config(data=kept, sizes=Sizes(embedding=4, encoder_hidden=4, hidden=4))
    responder = Recurrent.of("a_seq2seq", "tiny", a_seq2seq.build, config, corpus)
    posts = [Dialogue.of("我很好"), Dialogue.of("我 很 好")]
    bare, spaced = responder.nats(posts, [None, None], ["我也喜欢你", "我 也 喜欢 你"])
    assert bare == pytest.approx(spaced)
    assert spaced[1] == 5


@given(st.text("我喜欢你北京大学生x1！", min_size=1))
def test_cutting_loses_nothing(text: str):
    assert "".join(cut(text, VOCABULARY)) == text


def test_blanks_of_a_post_are_word_boundaries_but_for_phrases():
    words = Words("zh", "corpus")
    assert words.of_typed("我 躲猫猫 你", VOCABULARY) == ["我", "躲猫猫", "你"]
    assert words.of_typed("我喜欢大学生 你", VOCABULARY) == ["我", "喜欢", "大学生", "你"]
    assert Words("zh", "corpus", zeros=True).of_typed("我 2024 年", VOCABULARY)[1] == "0000"
    assert Words("en", "corpus").of_typed("Don't go", VOCABULARY) == ["Don", "'", "t", "go"]


# -- files of words --------------------------------------------------------------------------------


def words_file(path: Path, words: str) -> None:
    path.write_text("\n".join(["_PAD", "_UNK", "_EOS", "_GO", *words.split()]) + "\n", "utf-8")


def test_ecms_files_of_words_are_two_vocabularies(tmp_path: Path):
    data = prepared(tmp_path, [("我 很 好", "我 也 好 吗")] * 8, keep_words=True)
    words_file(tmp_path / "vocab40.post", "好 很")
    words_file(tmp_path / "vocab40.response", "也 我 好")
    given_words = Data(data.train, data.dev, words="corpus", vocabulary=tmp_path / "vocab40")
    corpus = read_corpus(given_words, emotional=False)
    assert corpus.posts is not None
    assert corpus.posts.words[4:] == ("好", "很")
    assert corpus.vocabulary.words[4:] == ("也", "我", "好")
    assert corpus.train[0].post == (1, 5, 4)
    assert corpus.train[0].reply == (5, 4, 6, 1)
    assert {"vocabulary.post", "vocabulary.response"} <= set(corpus.hashes)
    sizes = Sizes(embedding=4, encoder_hidden=4, hidden=4, out=4)
    with pytest.raises(ConfigError, match=r"sizes\.tied = false"):
        a_seq2seq.build(a_seq2seq.Config(sizes=sizes), corpus)
    # Trained, saved and loaded, posts are still read by theirs.
    apart = Sizes(embedding=4, encoder_hidden=4, hidden=4, out=4, tied=False)
    how = Training(epochs=1, batch=4, device="cpu", threads=1)
    config = a_seq2seq.Config(data=given_words, sizes=apart, training=how)
    out = a_seq2seq.train(config, tmp_path / "model")
    loaded = load_folder("a_seq2seq", str(out), a_seq2seq.Config, a_seq2seq.build, device="cpu")
    assert loaded._post(Dialogue.of("我很好")) == (1, 5, 4)
    assert len(loaded.network.core.source.weight) == 6
    assert len(loaded.network.core.target.weight) == 7
    replies = loaded.reply([Dialogue.of("很 好")], [None], decoding=Decoding(max_tokens=4))
    assert set(replies[0].text) <= set("也我好") | set("<unk>")


def test_one_file_of_words_is_for_both(tmp_path: Path):
    data = prepared(tmp_path, [("我 很 好", "我 也 好")])
    (tmp_path / "words.txt").write_text("好\n我\n", "utf-8")
    corpus = read_corpus(
        Data(data.train, data.dev, vocabulary=tmp_path / "words.txt"), emotional=False
    )
    assert corpus.posts is None
    assert corpus.vocabulary.words[4:] == ("好", "我")


def test_files_of_words_that_cannot_be_are_said(tmp_path: Path):
    data = prepared(tmp_path, [("我 很 好", "我 也 好")])
    with pytest.raises(DataError, match=r"no file .*none, nor .*none\.response"):
        read_corpus(Data(data.train, data.dev, vocabulary=tmp_path / "none"), emotional=False)
    words_file(tmp_path / "twice", "好 好")
    with pytest.raises(DataError, match="twice: the vocabulary holds '好' twice"):
        read_corpus(Data(data.train, data.dev, vocabulary=tmp_path / "twice"), emotional=False)
    with pytest.raises(ConfigError, match="a number of words, or a file"):
        Data(vocabulary=Path())
