"""Words and characters of Chinese and English text."""

from __future__ import annotations

import csv
import gzip
import itertools
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from emotone.data.text import (
    characters,
    join,
    segment,
    segment_all,
    show,
    show_en,
    text_key,
    tokens,
    words_en,
)
from emotone.errors import DataError, UnknownName

#: Written for this test: the plain talk that posts are made of.
POSTS = (
    "今天天气真好，我们去公园散步吧！",
    "我的手机又丢了，气死我了。",
    "你说的这个问题我也不太清楚，明天问问老师。",
    "考试终于结束了，晚上一起吃火锅怎么样？",
    "他昨天晚上一个人坐在海边看星星，心里有点难过。",
    "这家餐厅的服务态度太差了，再也不来了！",
    "小明硕士毕业于中国科学院计算所",
    "工信处女干事每月经过下属科室都要亲口交代交换机等技术性器件的安装工作",
    "哈哈哈哈笑死我了，原来是你啊",
    "祝大家新年快乐，身体健康，万事如意。",
)
# Pieces that meet in all ways: Han words, Latin, digits, signs, every kind of blank, emoji.
PIECES = ("开心", "的", "我们", "T恤", "abc", "C++", "3.5", "G", "20%", "8", "-", ".", "'", "，",
          "～", "😀", " ", "  ", "\t", "\n", "\u3000", "\xa0", "\u2028", "é", "カ")  # fmt: skip
mixed = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)
any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(mixed | any_text)
@example("这件abcT恤")
def test_words_say_what_the_text_says(text):
    words = segment(text)
    assert join(" ".join(words)) == join(text)
    assert show(words) == join(text)
    assert all(word and not any(c.isspace() for c in word) for word in words)


@given(mixed | any_text)
def test_blanks_of_another_segmenter_change_nothing(text):
    assert segment(" ".join(segment(text))) == segment(text)
    assert join(join(text)) == join(text)


@given(st.lists(mixed, max_size=5))
def test_many_texts_are_one_by_one(texts):
    assert segment_all(texts) == [segment(text) for text in texts]


@given(mixed | any_text)
def test_characters_lose_blanks_only(text):
    assert "".join(characters(text)) == "".join(c for c in text if not c.isspace())
    assert characters(text) == characters(" ".join(characters(text)))


def test_latin_words_and_numbers_stay_whole():
    assert segment("买iPhone4s和C++的书，3.5G网，涨了20%") == [
        "买", "iPhone4s", "和", "C++", "的", "书", "，", "3.5G", "网", "，", "涨", "了", "20%",
    ]  # fmt: skip
    assert segment("god   bless   你 ！") == ["god", "bless", "你", "！"]
    assert segment("这件abcT恤") == ["这件", "abcT恤"]
    assert characters("我爱 iPhone 4s，3.5折!") == [
        "我", "爱", "iPhone", "4s", "，", "3.5", "折", "!",
    ]  # fmt: skip
    assert segment(" \n\u3000") == []


def test_join_is_as_the_splits_of_the_judges_know_it():
    assert join(" 我 很  开心 ！ ") == "我很开心！"
    assert join("god   bless   你 ！") == "god bless你！"
    assert join("a\u3000b\tc 1") == "a b c 1"
    assert text_key("Ａ 我") == text_key("a我")


def test_words_are_those_of_jieba(caplog):
    jieba = pytest.importorskip("jieba", reason="jieba is not installed; it is the reference")
    with caplog.at_level("ERROR", logger="jieba"):
        for pair in itertools.product(POSTS, repeat=2):
            assert segment("".join(pair)) == jieba.lcut("".join(pair))


def test_words_of_real_posts_are_those_of_jieba(data: Path, caplog):
    """Equal but for ASCII runs, which stay whole, and rare ties: 1 post of 1,000 at most."""
    jieba = pytest.importorskip("jieba", reason="jieba is not installed; it is the reference")
    path = data / "smp2020_ewect/usual_train.csv.gz"
    if not path.exists():
        pytest.skip("EMOTONE_DATA holds no smp2020_ewect/usual_train.csv.gz")
    with gzip.open(path, "rt", encoding="utf-8", newline="") as source:
        rows = list(itertools.islice(csv.reader(source), 1, 2001))
    posts = [join(",".join(row[1:-1])) for row in rows]
    differ = with_ascii = 0
    with caplog.at_level("ERROR", logger="jieba"):
        for post in posts:
            theirs = [word for word in jieba.lcut(post) if word != " "]
            if segment(post) != theirs:
                # What differs without its ASCII is a tie between Han words.
                han = [w for w in segment(post) if not w.isascii()]
                same = han == [w for w in theirs if not w.isascii()]
                differ += not same
                with_ascii += same
    assert len(posts) == 2000
    assert differ <= 2
    assert with_ascii <= 20


def test_english_words():
    assert words_en("Don’t WORRY, it's 3.5 km (1,000 times)!") == [
        "don't", "worry", ",", "it's", "3.5", "km", "(", "1,000", "times", ")", "!",
    ]  # fmt: skip
    assert words_en("") == []


def test_tokens_choose_by_language_and_unit():
    assert tokens("我很开心 ok", "zh") == segment("我很开心 ok")
    assert tokens("我很开心 ok", "zh", "character") == ["我", "很", "开", "心", "ok"]
    assert tokens("So glad", "en") == ["so", "glad"]
    assert tokens("So glad", "en", "character") == list("Soglad")


def test_unknown_names_and_half_characters_are_refused():
    with pytest.raises(UnknownName, match="language 'de'"):
        tokens("gut", "de")
    with pytest.raises(UnknownName, match="did you mean 'word'"):
        tokens("good", "en", "words")  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"character 3 .* half a surrogate pair"):
        segment("你好\ud800")


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry to hear that. What happened?",
        "Wow! That's great, isn't it?",
        "Well... so I don't know.",
        'He said "see you on Monday" and left.',
        "It cost $50 (10% off); we left at 10:30.",
        "The boys' room is on floor 3.",
        "That's sad :( but I'll be fine :)",
        "My ex-wife has 1,000 books and/or 2.5 cats.",
        "No - I think I've had enough!",
        "She's 'fine', I think.",
        "What?! No!!!",
    ],
)
def test_english_is_shown_as_people_write_it(text):
    assert show_en(words_en(text)) == text


PRINTABLE = "".join(chr(i) for i in [*range(32, 127), *range(0xA1, 0x100)])
ORDINARY = ["i", "i'm", "dog", "don't", "3", "2.5", "god", *".,!?;:'\"()-/$%&*"]


@given(st.text(PRINTABLE, max_size=40))
def test_shown_english_has_the_same_words(text):
    assert words_en(show_en(words_en(text))) == words_en(text)


@given(st.lists(st.sampled_from(ORDINARY), max_size=12))
def test_shown_words_come_back(words):
    text = show_en(words)
    assert words_en(text) == words
    assert "  " not in text
    assert text == text.strip()


def test_signs_alone_and_nothing_are_shown():
    assert show_en([]) == ""
    assert show_en(["!", "so", "?"]) == "! So?"
