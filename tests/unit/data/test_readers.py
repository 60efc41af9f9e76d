"""What each official format becomes, and what is refused with which words."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from emotone.data import corpora, reading
from emotone.data.corpora import emotionquery, epitome
from emotone.data.corpus import find
from emotone.data.reading import Problems, read_aligned, read_lines
from emotone.emotions import Emotion
from emotone.errors import DataError
from emotone.types import EmpathyLevels, Example
from unit.data.samples import write_sample


def read(name: str, where: Path, split: str | None = None) -> list[Example]:
    return list(corpora.module(name).read(where, Problems(), split=split))


def said(example: Example) -> list[tuple[str, str]]:
    """The dialogue and the reply as (speaker, text)."""
    posts = [(post.speaker.value, post.text) for post in example.dialogue.posts]
    return posts if example.reply is None else [*posts, ("reply", example.reply)]


def felt(example: Example) -> list[str]:
    """Labels of the posts and of the reply, "-" where there is none."""
    labels = [post.emotion.label if post.emotion else "-" for post in example.dialogue.posts]
    asked = example.emotion.at_full if example.emotion else None
    return [*labels, asked.label if asked else "-"]


@pytest.fixture
def where(tmp_path: Path) -> Path:
    return tmp_path / "corpus"


def refused(name: str, where: Path, file: str, text: str, message: str) -> None:
    """Check that a text in the place of a file of the sample is refused with a message."""
    write_sample(name, where)
    (where / file).write_text(text, encoding="utf-8", newline="")
    with pytest.raises(DataError) as caught:
        read(name, where)
    assert message in str(caught.value)


# -- posts, responses, ids ------------------------------------------------------------------------


def test_ecm_gives_each_post_with_each_response(where: Path):
    made = read("ecm", write_sample("ecm", where))
    assert [said(e) for e in made] == [
        [("user", "今天下雨了，没带伞"), ("reply", "快找个地方躲一下吧")],
        [("user", "今天下雨了，没带伞"), ("reply", "真倒霉")],
        [("user", "终于放假啦！"), ("reply", "玩得开心")],
        [("user", "早上好"), ("reply", "你也早！")],
    ]
    assert [felt(e) for e in made] == [
        ["sadness", "like"],
        ["sadness", "disgust"],
        ["happiness", "happiness"],
        ["other", "like"],
    ]
    assert [e.id for e in made] == ["train-1-1", "train-1-2", "train-2-1", "dev-1-1"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[\n[]]", "train.json, line 2: 0 parts in the item where 2 are needed"),
        ('[[["a", 6, 0], [["b", 1, 0]]]]', "label 6 is not one of nlpcc; use 0 to 5 (other, like"),
        ('[[["a", -1, 0], [["b", 1, 0]]]]', "label -1 is not one of nlpcc"),
        ('[[["a", true, 0], [["b", 1, 0]]]]', "the label is true or false where a whole number"),
        ('[[["", 1, 0], [["b", 1, 0]]]]', "the post is empty"),
        ('[[["a", 1, 0], []]]', "0 parts in the responses where 1 or more"),
        ('[[["a", 1, 0], ["b", 1, 0, 0]]]', "4 parts in response 1 where [text, id, id]"),
        ('[[["a", 1, 0], [["\\ud800", 1, 0]]]]', "response 1 holds half a surrogate pair"),
        ('{"a": 1}', "train.json, item 1: the item is a whole number where a list"),
    ],
)
def test_ecm_says_what_is_wrong(where: Path, text: str, message: str):
    refused("ecm", where, "train.json", text, message)


def test_nlpcc2017_is_pairs(where: Path):
    made = read("nlpcc2017", write_sample("nlpcc2017", where))
    assert said(made[0]) == [("user", "我的猫不见了"), ("reply", "别急，它会回来的")]
    assert [felt(e) for e in made] == [["sadness", "other"], ["disgust", "like"]]


def test_the_four_files_of_ecm_belong_together(where: Path):
    made = read("ecm_files", write_sample("ecm_files", where))
    assert [said(e) for e in made] == [
        [("user", "我考试没过"), ("reply", "下次再努力吧")],
        [("user", "你喜欢吃什么"), ("reply", "我爱吃饺子")],
    ]
    assert [felt(e) for e in made] == [["-", "sadness"], ["-", "like"]]
    (where / "train_choice.txt").unlink()
    assert read("ecm_files", where) == made
    (where / "train_category.txt").unlink()
    with pytest.raises(DataError, match=r"no train_category\.txt beside .*; the files belong"):
        read("ecm_files", where)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("train_choice.txt", "0 0 1\n0 1 0 0\n", "marks 3 words, but the target has 4"),
        ("train_choice.txt", "0 0 2 0\n0 1 0 0\n", "holds more than 0 and 1"),
        ("train_category.txt", "2\n9\n", "line 2: label 9 is not one of nlpcc"),
        ("train_category.txt", "2\n", "train_category.txt, line 2: the file ends, but train_so"),
        ("train_target.txt", "a b c d\ne f g h\ni\n", "line 3: the file ends, but train_target"),
    ],
)
def test_the_four_files_of_ecm_must_fit(where: Path, file: str, text: str, message: str):
    refused("ecm_files", where, file, text, message)


def test_a_pair_with_other_fields_is_refused(where: Path):
    refused("ecg", where, "dev.tsv", "a\tb\n", "dev.tsv, line 1: 2 parts in the line where 3")
    refused("tsv", where, "pairs.tsv", "a\n", "line 1: 1 field; write post TAB reply")
    refused("tsv", where, "pairs.tsv", "a\tb\tjoi\n", "did you mean 'joy'")


def test_a_tsv_may_hold_a_mix(where: Path):
    where.mkdir()
    (where / "mine.tsv").write_text("a\tb\tjoy:60 + fear:20\n\nc\td\n")
    made = read("tsv", where)
    assert [str(e.emotion) for e in made] == ["fear:20 + joy:60", "None"]
    assert [e.id for e in made] == ["all-mine-1", "all-mine-3"]


# -- conversations --------------------------------------------------------------------------------


def test_empathetic_dialogues_gives_each_turn_of_the_listener(where: Path):
    made = read("empathetic_dialogues", write_sample("empathetic_dialogues", where))
    assert [e.id for e in made] == [
        "train-hit:0_conv:0-2",
        "train-hit:0_conv:0-4",
        "train-hit:1_conv:2-2",
    ]
    assert said(made[1]) == [
        ("user", "I baked bread, my first ever!"),
        ("assistant", "How did it taste?"),
        ("user", "A bit salty, but good."),
        ("reply", "Well done!"),
    ]
    assert felt(made[1]) == ["proud", "-", "proud", "-"]


ED_HEADER = "conv_id,utterance_idx,context,prompt,speaker_idx,utterance,selfeval,tags\n"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("c,1,sad,p,0,a,b,,,\n", "line 2: 10 fields where 8 are needed; commas in texts are"),
        ("c,1,sad,p,0,a,,\nc,3,sad,p,0,b,,\n", "line 3: utterance 3 after 1 of its conversation"),
        ("c,1,sadd,p,0,a,,\n", "did you mean 'sad'"),
        ("c,1,sad,p,0,,,\n", "the utterance is empty"),
    ],
)
def test_empathetic_dialogues_says_what_is_wrong(where: Path, rows: str, message: str):
    refused("empathetic_dialogues", where, "train.csv", ED_HEADER + rows, message)


def test_a_conversation_with_a_bad_line_is_left_out_whole(where: Path):
    where.mkdir()
    (where / "train.csv").write_text(
        f"{ED_HEADER}a,1,sad,p,0,x,,\na,2,sad,p,0,\na,3,sad,p,0,x,,\na,4,sad,p,1,y,,\n"
        "b,1,sad,p,0,x,,\nb,2,sad,p,1,y,,\n"
    )
    problems = Problems("skip")
    made = list(corpora.module("empathetic_dialogues").read(where, problems))
    assert [e.id for e in made] == ["train-b-2"]
    assert problems.count == 1


def test_nine_fields_are_official_too(where: Path):
    where.mkdir()
    (where / "test.csv").write_text(f"{ED_HEADER}a,1,sad,p,0,x,,,c1|c2\na,2,sad,p,1,y,,,c1|c2\n")
    assert [said(e) for e in read("empathetic_dialogues", where)] == [
        [("user", "x"), ("reply", "y")]
    ]


def test_who_replies_is_the_assistant_and_answering_oneself_is_no_reply(where: Path):
    made = read("cped", write_sample("cped", where))
    assert [said(e) for e in made] == [
        [("user", "你怎么才回来"), ("reply", "路上堵车了")],
        [
            ("assistant", "你怎么才回来"),
            ("user", "路上堵车了"),
            ("user", "不过我买了蛋糕"),
            ("reply", "谢谢你"),
        ],
    ]
    assert felt(made[1]) == ["worried", "neutral", "happy", "grateful"]


def test_a_scene_ends_where_the_next_begins(where: Path):
    made = read("meld", write_sample("meld", where))
    assert [e.id for e in made] == ["train-0-2", "train-0-3", "train-1-2"]
    assert felt(made[1]) == ["surprise", "sadness", "anger"]


def test_a_scene_with_a_bad_row_is_left_out_whole(where: Path):
    write_sample("meld", where)
    path = where / "train_sent_emo.csv"
    path.write_text(path.read_text().replace("Ann,surprise", "Ann,surprize"))
    problems = Problems("skip")
    made = list(corpora.module("meld").read(where, problems))
    assert [e.id for e in made] == ["train-1-2"]
    assert problems.places == [
        "train_sent_emo.csv, line 2: unknown emotion for ekman 'surprize'; "
        "did you mean 'surprise'? Allowed: anger, disgust, fear, joy, sadness, surprise, neutral."
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Speaker", "Talker", "line 1: no column 'Speaker'; the columns are Sr No., Utterance"),
        ("Sorry!,Bob", "Sorry!", "line 3: 10 fields where the header has 11"),
        ('"Oh no, my cake!"', '"Oh no, my" cake', "line 2: no row of CSV"),
        ('"00:00:07,000"', '"00:00:07,000', "line 6: no row of CSV (unexpected end of data)"),
    ],
)
def test_a_bad_table_is_refused_with_the_line(where: Path, old: str, new: str, message: str):
    text = corpora.module("meld").SAMPLE["train_sent_emo.csv"]
    assert old in text
    refused("meld", where, "train_sent_emo.csv", text.replace(old, new), message)


def test_daily_dialog_in_both_forms(where: Path):
    made = read("dailydialog", write_sample("dailydialog", where))
    assert [e.id for e in made] == ["train-1-2", "train-2-2", "train-2-3", "valid-va_1-2"]
    assert [felt(e) for e in made] == [
        ["happiness", "surprise"],
        ["neutral", "sadness"],
        ["neutral", "sadness", "anger"],
        ["neutral", "anger"],
    ]
    (where / "dialogues_emotion_train.txt").unlink()
    with pytest.raises(DataError, match=r"no dialogues_emotion_train\.txt beside"):
        read("dailydialog", where)


def test_daily_dialog_s_one_file_form(where: Path):
    where.mkdir()
    (where / "dialogues_text.txt").write_text("a __eou__ b __eou__\n")
    (where / "dialogues_emotion.txt").write_text("0 1\n")
    assert [felt(e) for e in read("dailydialog", where)] == [["neutral", "anger"]]


def test_turns_and_emotions_must_be_as_many(where: Path):
    refused(
        "dailydialog",
        where,
        "dialogues_emotion_train.txt",
        "4 6\n0 5\n",
        "dialogues_train.txt, line 2: 3 turns, but 2 emotions; one is needed for each",
    )


def test_xdailydialog_tells_its_languages_apart(where: Path):
    write_sample("xdailydialog", where)
    assert {e.lang for e in read("xdailydialog", where, "zh")} == {"zh"}
    assert {e.lang for e in read("xdailydialog", where, "en")} == {"en"}
    assert [said(e) for e in read("xdailydialog", where, "zh-more")] == [
        [("user", "杯子呢？"), ("reply", "我打碎了。")],
        [("assistant", "杯子呢？"), ("user", "我打碎了。"), ("reply", "又来了？")],
    ]


def test_esconv_answers_the_seeker_only(where: Path):
    made = read("esconv", write_sample("esconv", where))
    assert [said(e)[-1] for e in made] == [
        ("reply", "Yes, hello!"),
        ("reply", "That is hard. Since when?"),
    ]
    assert felt(made[1]) == ["anxiety", "-", "anxiety", "-"]


def test_esconv_lines_lose_strategies_and_keep_order(where: Path):
    made = read("esconv_tsv", write_sample("esconv_tsv", where))
    assert said(made[1]) == [
        ("user", "I feel lost."),
        ("assistant", "What happened?"),
        ("user", "We broke up."),
        ("reply", "I am sorry."),
    ]
    for text, message in {
        "1.0 0 0 a": "one turn where a context and a response",
        "1.0 1 0 [Q] a EOS 1.0 0 1 b": "the last turn is the seeker's",
        "1.0 0 0 a EOS b": "'b' is not a turn; write 'weight role number text'",
        "1.0 0 0 a EOS 1.0 1 1 [Questions] ": "a turn is empty",
    }.items():
        refused("esconv_tsv", where, "trainWithStrategy_short.tsv", text, message)


def test_lccc_in_text_and_json(where: Path):
    made = read("lccc", write_sample("lccc", where))
    assert [e.id for e in made] == [
        "train-1-2",
        "train-2-2",
        "all-train-1-2",
        "all-train-1-3",
        "all-train-2-2",
    ]
    assert said(made[3]) == [
        ("assistant", "吃了吗"),
        ("user", "吃了"),
        ("reply", "吃的什么"),
    ]


def test_chatterbot_s_lines_answer_each_other(where: Path):
    made = read("chatterbot", write_sample("chatterbot", where))
    assert [said(e)[-1][1] for e in made] == [
        "Yes, take a coat.",
        "I think so.",
        "Then I stay in.",
        "很冷",
    ]
    assert [e.lang for e in made] == ["en", "en", "en", "zh"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("conversations:\n- - a\n  - b\n- c\n", "line 4: one line where a list of two or more"),
        ("conversations:\n- - &x a\n  - *x\n", "line 3: an alias; write the lines out"),
        ("conversations:\n- - a: b\n  - c\n", "line 2: write 'conversations:' with lists"),
        ("- a\n", "line 1: write 'conversations:'"),
        ("categories:\n- a\n", "no 'conversations' in the file"),
        ("conversations:\n- - 'a\n", "no YAML"),
        ("categories:\n" + "- " * 100_000, "line 2: the YAML is nested too deeply"),
        ("conversations: " + "[" * 100_000, "english/weather.yml"[8:]),
    ],
)
def test_chatterbot_says_what_is_wrong(where: Path, text: str, message: str):
    refused("chatterbot", where, "english/weather.yml", text, message)


def test_yaml_that_would_run_code_is_only_text(where: Path):
    where.joinpath("english").mkdir(parents=True)
    (where / "english" / "bad.yml").write_text(
        "conversations:\n- - !!python/object/apply:os.system ['true']\n  - b\n"
    )
    with pytest.raises(DataError, match="line 2: write 'conversations:'"):
        read("chatterbot", where)


def test_pec_in_text_and_json_lines(where: Path):
    made = read("pec", write_sample("pec", where))
    assert [said(e) for e in made] == [
        [("user", "I passed the exam!"), ("reply", "Well done! How did you celebrate?")],
        [("user", "My dog came back."), ("reply", "What a relief.")],
        [("user", "I miss her."), ("assistant", "Who?"), ("user", "My sister."),
         ("reply", "Call her!")],
    ]  # fmt: skip
    for text, message in {
        "a---+---b\n": "the file ends within a conversation",
        "b\n" + "*" * 20: "line 1: no '---+---'",
        "a---+---b\n" + "*" * 20: "one turn where a context and a response",
    }.items():
        refused("pec", where, "happy/train.txt", text, message)


def test_messages_without_the_system_s(where: Path):
    made = read("messages", write_sample("messages", where))
    assert said(made[1]) == [
        ("user", "I failed."),
        ("assistant", "You tried, and that counts."),
        ("user", "Not for my boss."),
        ("reply", "Then your boss is wrong."),
    ]
    assert [e.lang for e in made] == ["en", "en", "zh"]
    for text, message in {
        '{"messages": []}': "0 parts in messages",
        '{"messages": [{"role": "oracle", "content": "a"}]}': "role is 'oracle'",
        '{"messages": [{"role": "user"}]}': "a message has no 'content'; it has role",
        '{"messages": [{"role": "user", "content": [{"text": "a"}]}]}': "a part has no 'type'",
        "[" * 100_000: "nested too deeply",
    }.items():
        refused("messages", where, "messages.jsonl", text, message)


# -- empathy --------------------------------------------------------------------------------------


def test_epitome_joins_its_three_files(where: Path):
    rated = list(epitome.read_rated(write_sample("epitome", where), Problems()))
    assert [r.example.empathy for r in rated] == [EmpathyLevels(2, 0, 2), EmpathyLevels(0, 2, 0)]
    assert rated[0].rationales == {
        "reaction": ("I am so sorry",),
        "interpretation": (),
        "exploration": ("what happened?",),
    }
    assert said(rated[0].example) == [
        ("user", "I failed again."),
        ("reply", "I am so sorry, what happened?"),
    ]


def test_epitome_joins_pairs_that_occur_twice_in_order(where: Path):
    write_sample("epitome", where)
    for path in where.iterdir():
        level = "1" if path.name.startswith("emotional") else "0"
        path.write_text(path.read_text() + f"a1,b1,Again.,Yes.,{level},\n")
    made = read("epitome", where)
    assert [e.id for e in made] == ["a1-b1-1", "a2-b2-1", "a1-b1-2"]
    assert made[2].empathy == EmpathyLevels(1, 0, 0)


def test_epitome_misses_no_pair_silently(where: Path):
    write_sample("epitome", where)
    path = where / "explorations-reddit.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:2]))
    with pytest.raises(DataError, match=r"line 3: the pair a2, b2 is not in explorations-reddit"):
        read("epitome", where)
    write_sample("epitome", where)
    with path.open("a") as out:
        out.write("a9,b9,x,y,0,\n")
    with pytest.raises(DataError, match=r"explorations-.*, line 4: the pair a9, b9 is not"):
        read("epitome", where)
    path.unlink()
    with pytest.raises(DataError, match="epitome needs its three files"):
        read("epitome", where)


def test_emprl_with_and_without_levels(where: Path):
    write_sample("emprl", where)
    assert [e.empathy for e in read("emprl", where)] == [None, None]
    made = read("emprl", where, "sft_addlabel")
    assert [e.empathy for e in made] == [EmpathyLevels(1, 0, 2)]
    refused(
        "emprl",
        where,
        "sft/train.json",
        '[{"input": "a", "output": "b", "explorations": 1}]',
        "the item has no 'emotional_reactions'",
    )


# -- labelled texts -------------------------------------------------------------------------------


def test_goemotions_reads_both_label_sets_and_gives_doubtful_texts_no_label(where: Path):
    write_sample("goemotions", where)
    assert [felt(e)[0] for e in read("goemotions", where)] == ["neutral", "-", "sadness"]
    assert [felt(e)[0] for e in read("goemotions", where, "ekman")] == ["neutral", "joy", "sadness"]
    assert all(e.reply is None for e in read("goemotions", where))


def test_smp2020_in_both_forms(where: Path):
    made = read("smp2020_ewect", write_sample("smp2020_ewect", where))
    assert said(made[0]) == [("user", "气死我了,又迟到了")]
    assert [felt(e)[0] for e in made] == ["angry", "happy", "happy", "fear"]
    refused("smp2020_ewect", where, "usual_train.csv", "0,a\n", "line 1: no two commas")
    refused("smp2020_ewect", where, "virus_train.txt", '[{"id": 1}]', "the item has no 'content'")


def test_nlpcc_sentences_in_both_forms(where: Path):
    write_sample("nlpcc_emotion", where)
    assert [felt(e)[0] for e in read("nlpcc_emotion", where)] == ["happiness", "sadness"]
    made = read("nlpcc_emotion", where, "xml")
    assert [felt(e)[0] for e in made] == ["none", "like"]
    assert [said(e) for e in made] == [[("user", "我今天去了公园。")], [("user", "花真美！")]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<a>\n<b></a>", "line 2: no XML (mismatched tag"),
        ("<a>\n<sentence/></a>", "line 2: the sentence is nothing where text is needed"),
        ("<!DOCTYPE a [<!ENTITY b 'c'>]>\n<a/>", "line 1: the XML declares a document type"),
        ("<a><sentence emotion-1-type='sad'>b</sentence></a>", "unknown emotion for nlpcc2013"),
        ("<a>", "no XML (no element found"),
    ],
)
def test_bad_xml_is_refused_with_the_line(where: Path, text: str, message: str):
    where.mkdir()
    (where / "nlpcc2014_sample.xml").write_text(text)
    with pytest.raises(DataError) as caught:
        read("nlpcc_emotion", where, "xml")
    assert message in str(caught.value)


def test_emotionquery_plus_is_labelled_by_its_order():
    assert [emotionquery.label(n).label for n in (0, 49, 50, 100, 150, 200, 249, 250, 399)] == [
        *("anger", "anger", "disgust", "fear", "joy", "sadness", "sadness", "neutral", "neutral")
    ]
    assert [emotionquery.plus_part(n) for n in (0, 249, 250)] == ["emotional"] * 2 + ["neutral"]


def test_emotionquery_ids_say_the_part(where: Path):
    made = read("emotionquery", write_sample("emotionquery", where))
    assert [e.id for e in made] == ["queries-0", "queries-1", "plus-emotional-0"]
    assert made[1].dialogue.posts[0].emotion == Emotion("joy", "ekman")


def test_ev_results_go_with_their_questions(where: Path):
    made = read("ev_results", write_sample("ev_results", where))
    assert [(e.id, felt(e)[1]) for e in made] == [
        ("base/toy/0-0", "-"),
        ("base/toy/0-1", "-"),
        ("emotion/toy/2/anger-0", "anger"),
        ("emotion/toy/2/anger-1", "anger"),
    ]
    refused("ev_results", where, "results/base/toy/0.json", '["a", "b", "c"]', "there are 2 ques")
    (where / "results/base/toy/0.json").write_text('["", "b"]')
    assert read("ev_results", where)[0].reply == ""
    (where / "dataset/EmotionQuery+/EmotionQuery+.json").unlink()
    with pytest.raises(DataError, match=r"no EmotionQuery\+\.json in"):
        read("ev_results", where)


# -- files ----------------------------------------------------------------------------------------


def test_one_file_may_be_named_and_have_any_name(where: Path):
    write_sample("nlpcc2017", where)
    (where / "train_data.json").rename(where / "mine.json")
    assert [e.id for e in read("nlpcc2017", where / "mine.json")] == ["mine-1", "mine-2"]
    assert [e.id for e in read("nlpcc2017", where / "mine.json", "train")] == ["train-1", "train-2"]


def test_names_of_a_split_are_alternatives_and_a_pattern_takes_all(where: Path):
    write_sample("ecm", where)
    (where / "train_data.json").write_text("[]")
    (where / "train.json.gz").write_bytes(gzip.compress(b"[]"))
    assert [path.name for _, path in find(corpora.module("ecm").CORPUS, where)] == [
        "train.json",
        "dev.json",
    ]
    for name in ("tsv", "messages"):
        write_sample(name, where)
        file = next(iter(corpora.module(name).SAMPLE))
        (where / f"second{Path(file).suffix}").write_bytes((where / file).read_bytes())
        made = read(name, where)
        assert len({e.id for e in made}) == len(made) == 6


def test_files_are_found_in_the_order_of_the_splits(where: Path):
    write_sample("xdailydialog", where)
    names = [split for split, _ in find(corpora.module("xdailydialog").CORPUS, where)]
    assert names == ["zh-dev", "zh-more", "en-dev", "en-more"]


def test_lines_have_numbers_and_no_ends(tmp_path: Path):
    path = tmp_path / "f.txt"
    path.write_bytes("\ufeffa\r\n\nb\u2028c\nd".encode())
    expected = [(1, "a"), (2, ""), (3, "b\u2028c"), (4, "d")]
    assert list(read_lines(path, Problems())) == expected
    path.write_bytes(gzip.compress(path.read_bytes()))
    assert list(read_lines(path, Problems())) == expected


def test_a_bad_line_is_skipped_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reading, "MAX_LINE", 10)
    path = tmp_path / "f.txt"
    path.write_bytes(b"a\n\xff\n" + b"b" * 35 + b"\nc\n" + b"d" * 11)
    problems = Problems("skip")
    assert list(read_lines(path, problems)) == [(1, "a"), (4, "c")]
    assert problems.places == [
        "f.txt, line 2: byte 1 is not UTF-8; save the file in UTF-8",
        "f.txt, line 3: the line is longer than 10 bytes; split it",
        "f.txt, line 5: the line is longer than 10 bytes; split it",
    ]


def test_aligned_files_stay_aligned_over_a_bad_line(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"1\n\xff\n3\n")
    (tmp_path / "b").write_bytes(b"x\ny\nz\n")
    problems = Problems("skip")
    made = list(read_aligned([tmp_path / "a", tmp_path / "b"], problems))
    assert made == [(1, ("1", "x")), (3, ("3", "z"))]
    assert problems.count == 1


def test_problems_keep_the_first_places_only():
    problems = Problems("skip", keep=2)
    for line in range(5):
        problems.bad("f", line, "x\n\x07" + "y" * 5000)
    assert problems.count == 5
    assert len(problems.places) == 2
    assert problems.places[0].startswith("f, line 0: x\\n\\x07yyy")
    assert problems.places[0].isprintable()
    assert len(problems.places[0]) < 1100
