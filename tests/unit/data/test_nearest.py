"""Posts of everyday by the words that they share with a given one."""

from __future__ import annotations

import math

import pytest

from emotone.data import everyday
from emotone.data.everyday.nearest import Posts, learned_posts, length, terms


def line(number: int, post: str, **replies: str) -> everyday.Line:
    named = {"joy": f"reply {number}", **replies}
    return everyday.Line(f"en-p9:{number}", "en", "plain", "plain", "train-c", post, named)


LINES = [
    line(1, "My cat is ill."),
    line(2, "My dog is ill.", fear="Is it bad?"),
    line(3, "I burned the rice."),
    line(4, "A cat burned the rice!", joy="reply 3"),
]


@pytest.fixture(scope="module")
def posts():
    return Posts(LINES)


def test_a_post_is_most_like_itself(posts):
    for own in LINES:
        nearest = posts.near(own.post, ["joy"], 1)[0]
        assert nearest.similarity == pytest.approx(1.0)
        assert nearest.overlap == pytest.approx(1.0)


def test_the_cosine_is_that_of_trusted_code(posts):
    """scikit-learn weighs words in the same way, but for its idf without smoothing."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = [own.post for own in LINES]
    vectorizer = TfidfVectorizer(
        analyzer=terms, sublinear_tf=True, smooth_idf=False, norm=None
    ).fit(texts)
    # Theirs is log(N / df) + 1, ours log(N / df).
    vectorizer.idf_ = vectorizer.idf_ - 1
    matrix = vectorizer.transform([*texts, "my cat burned my dog"]).toarray()
    matrix /= (matrix**2).sum(1, keepdims=True) ** 0.5
    expected = matrix[:-1] @ matrix[-1]
    for own, cosine in zip(LINES, expected, strict=True):
        similarity = posts.compare("my cat burned my dog", own).similarity
        assert similarity == pytest.approx(cosine)


def test_lines_without_the_label_or_a_common_word_are_left_out(posts):
    assert [n.line.id for n in posts.near("The cat is ill", ["fear"], 4)] == ["en-p9:2"]
    assert posts.near("Zebras", ["joy"], 4) == []
    assert posts.near("...", ["joy"], 4) == []


def test_a_reply_comes_once_and_never_again(posts):
    near = posts.near("the cat burned the rice", ["joy"], 4)
    assert [n.line.replies["joy"] for n in near].count("reply 3") == 1
    assert all(
        n.line.replies["joy"] != "reply 3"
        for n in posts.near("the cat burned the rice", ["joy"], 4, without=["reply 3"])
    )


def test_a_line_has_every_emotion_that_is_asked(posts):
    assert [n.line.id for n in posts.near("my dog is ill", ["joy", "fear"], 4)] == ["en-p9:2"]
    assert posts.near("my dog is ill", ["joy", "fear"], 4, without=["Is it bad?"]) == []


def test_words_are_cut_and_chinese_is_read_by_characters():
    assert terms("Cooking, I'm COOKED") == ["cookin", "im", "cooked"]
    assert terms("我失眠了 ok") == ["我", "失", "眠", "了", "我失", "失眠", "眠了", "ok"]


def test_a_chinese_character_is_half_a_word():
    assert (length("Oh, my cat!"), length("我失眠了"), length("...")) == (3, 2, 0)


def test_a_word_never_seen_weighs_most(posts):
    assert posts.weight(["zebra"]) == pytest.approx(math.log(4))
    assert posts.weight(["cat"]) == pytest.approx(math.log(2))


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_nothing_that_is_judged_is_retrieved(lang):
    lines = learned_posts(lang).lines
    assert len(lines) > 4000
    # train-b is for the judges that score: they would hear the lines that they learnt from.
    assert {own.split for own in lines} == {"train-a", "train-c"}
    assert not any(own.history for own in lines)
