from __future__ import annotations

import dataclasses

import pytest

from emotone.emotions import EmotionMix
from emotone.errors import SteeringError, UnknownName
from emotone.lm.candidates import candidate_passes, candidate_seed, write_candidates
from emotone.lm.decode import write
from emotone.models.tiny import tiny_causal_lm
from emotone.steering.find import vectors_fitting, vectors_named
from emotone.steering.mood import Mood
from emotone.systems import steered
from emotone.types import Decoding

SHORT = Decoding(max_tokens=6, seed=5)
PROMPTS = [[5, 6, 7], [8, 9], [10, 11, 12, 13]]


@pytest.fixture
def mood() -> Mood:
    system = steered.tiny()
    return Mood(system._lm, system.vectors)


def mixes(mood: Mood, *texts: str | None) -> list[EmotionMix | None]:
    return [EmotionMix.parse(t, mood.vectors.taxonomy) if t else None for t in texts]


def test_the_first_candidate_has_the_seed_of_its_row():
    assert candidate_seed(7, 0) == 7
    assert len({candidate_seed(i, j) for i in range(40) for j in range(40)}) == 1600
    assert 0 <= candidate_seed(2**63 - 1, 63) < 2**63


def test_passes_hold_every_candidate_once_with_its_seed():
    passes = list(candidate_passes([2, 1, 3], seed=5, batch=4))
    assert [rows for rows, _ in passes] == [[0, 0, 1, 2], [2, 2]]
    assert passes[1][1] == [candidate_seed(7, 1), candidate_seed(7, 2)]


def test_candidates_do_not_depend_on_the_pass():
    lm = tiny_causal_lm()
    together = write_candidates(lm.model, lm.tokenizer, PROMPTS, [2, 1, 3], SHORT, batch=4)
    assert [len(row) for row in together] == [2, 1, 3]
    texts = [[w.text for w in row] for row in together]
    alone = write_candidates(lm.model, lm.tokenizer, PROMPTS, [2, 1, 3], SHORT, batch=1)
    assert [[w.text for w in row] for row in alone] == texts
    assert len(set(texts[2])) > 1


def test_no_doses_leave_the_model_plain(mood):
    rows = mood.write_candidates(PROMPTS, mood.doses([None] * 3), [1, 1, 1], SHORT)
    plain = write_candidates(mood.lm.model, mood.lm.tokenizer, PROMPTS, [1, 1, 1], SHORT)
    assert [row.replies for row in rows] == plain
    report = mood.report(rows[0].applied, {}, 1)
    assert (report["tier"], report["blocks"], report["dose"]) == ("none", [], {})


def test_doses_move_the_rows_that_have_them_and_no_other(mood):
    doses = mood.doses(mixes(mood, "joy", None, "fear:50"))
    rows = mood.write_candidates(PROMPTS, doses, [1, 1, 1], SHORT)
    plain = write_candidates(mood.lm.model, mood.lm.tokenizer, PROMPTS, [1, 1, 1], SHORT)
    changed = [row.replies[0].logprob != p[0].logprob for row, p in zip(rows, plain, strict=True)]
    assert (changed[0], changed[2]) == (True, True)
    assert rows[1].replies[0].text == plain[1][0].text
    report = mood.report(rows[0].applied, doses[0], 1, told="You are glad.")
    assert (report["tier"], report["told"]) == ("rows", "You are glad.")


def test_the_listener_scores_what_is_asked_and_an_empty_reply_least(mood):
    doses = mood.doses(mixes(mood, "joy", None, "fear:-40"))
    candidates = [["ha", "", "oh"], ["a", "b"], ["no"]]
    scores = mood.scores(PROMPTS, candidates, doses)
    assert scores[1] is None  # nothing asked
    assert scores[2] is None  # nothing to choose from
    assert scores[0] is not None
    assert scores[0][1] < -1e6 < scores[0].max() <= 0
    picks = {mood.choose(PROMPTS, candidates, doses, [s, s, s])[0] for s in range(30)}
    assert picks <= {0, 2}


def test_without_a_listener_the_first_candidate_is_kept(mood):
    deaf = Mood(mood.lm, dataclasses.replace(mood.vectors, listener=None))
    doses = deaf.doses(mixes(deaf, "joy"))
    assert deaf.choose(PROMPTS[:1], [["a", "b", "c"]], doses, [1]) == [0]


def test_vectors_of_another_model_are_refused(mood):
    with pytest.raises(SteeringError, match="another one"):
        Mood(tiny_causal_lm(seed=1), mood.vectors)


def test_vectors_are_found_by_name_file_and_weights(mood, tmp_path):
    found = vectors_named("smollm2")
    assert found is not None
    assert found.card.model == "smollm2"
    assert vectors_named("org/other") is None
    named = vectors_named("org/other", "smollm2")
    assert named is not None
    assert named.card == found.card
    mood.vectors.save(tmp_path / "v.safetensors")
    own = vectors_named("smollm2", str(tmp_path / "v.safetensors"))
    assert own is not None
    assert own.card.model == "tiny"
    with pytest.raises(UnknownName, match="there is none of this name"):
        vectors_named("smollm2", str(tmp_path / "no.safetensors"))
    assert vectors_fitting(mood.lm.model) is None


def test_a_prompt_is_read_once_for_all_of_its_candidates(mood):
    widths: list[tuple[int, int]] = []

    def note(_module, _args, kwargs):
        widths.append(tuple(kwargs["input_ids"].shape))

    doses = mood.doses(mixes(mood, "joy", None, "anger:50"))
    counts = [4, 1, 2]
    handle = mood.lm.model.register_forward_pre_hook(note, with_kwargs=True)
    rows = mood.write_candidates(PROMPTS, doses, counts, SHORT)
    assert [w for w in widths if w[1] != 1 and w != (3, 5)] == [(3, 4)]  # (3, 5) is the self-test
    assert (7, 1) in widths
    handle.remove()
    for i, (prompt, dose, count) in enumerate(zip(PROMPTS, doses, counts, strict=True)):
        seeds = [candidate_seed(SHORT.seed + i, j) for j in range(count)]
        with mood.vectors.steer(mood.lm.model, raw_scale=dose):
            alone = [
                write(mood.lm.model, mood.lm.tokenizer, [prompt], SHORT, [seed])[0].text
                for seed in seeds
            ]
        assert [w.text for w in rows[i].replies] == alone
