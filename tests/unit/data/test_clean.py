"""Texts of chats as a model should learn to write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotone.data.clean import addressed, clean


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("Great ! Let ' s do it !", "Great ! Let's do it !"),
        ("I don ’ t know… dont ask, IM fine", "I don't know... don't ask, I'M fine"),
        ("Oh no [she runs away] come back!", "Oh no come back!"),
        ("so good 😊 <3 :-) ( ) noooooo!!!!!! 10000", "so good :-) nooo!!! 10000"),
        ("“Yes”—really", '"Yes" - really'),
        ("its what the boys' dog ate", "its what the boys' dog ate"),
    ],
)
def test_english(text, cleaned):
    assert clean(text, "en") == cleaned


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("今天 好 冷 ,多穿一点!!!!!!", "今天好冷，多穿一点！！！"),
        ("哈哈哈哈哈···晚安⊙∀⊙！", "哈哈哈……晚安！"),
        ("#早安#放不下\u200b的(｡-_-｡)", "放不下的"),
        ("我用了３.5G的 iPhone 5. 还行。。。", "我用了3.5G的iPhone 5。还行……"),
        ("一共100000元", "一共100000元"),
        ("OK", "OK"),
        ("😊", ""),
    ],
)
def test_chinese(text, cleaned):
    assert clean(text, "zh") == cleaned


@pytest.mark.parametrize("lang", ["en", "zh"])
@given(st.text(max_size=30))
def test_a_clean_text_has_no_odd_blanks_nor_long_runs(lang, text):
    made = clean(text, lang)
    assert made == made.strip()
    assert "  " not in made
    for i in range(len(made) - 3):
        assert made[i].isdecimal() or made[i] == " " or len(set(made[i : i + 4])) > 1


@pytest.mark.parametrize(
    "text",
    [
        "see http://a.b",
        "www.x",
        "go to shop.com now",
        "@小王 你好",
        "ask @ann",
        "好//转发",
        "HTTPS:x",
    ],
)
def test_links_and_accounts_are_found(text):
    assert addressed(text)


@pytest.mark.parametrize("text", ["either/or", "at 5.30", "a comet", "你好@", "3.5"])
def test_plain_texts_are_no_links(text):
    assert not addressed(text)
