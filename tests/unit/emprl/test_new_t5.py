"""A small T5 made from nothing: its vocabulary and its weights."""

import pytest
import torch

from emotone.errors import ConfigError, DataError
from emotone.systems.emprl.new_t5 import BLANKS, TURN, T5Sizes, new_t5, new_tokenizer

TEXTS = ["I lost my keys today.", "Oh no! Where did you see them last?", "In the garden, I think."]
SHAPE = T5Sizes(pieces=80, width=16, inner=32, heads=2, encoder_blocks=1, decoder_blocks=2)


def test_a_text_comes_back_and_ends_with_the_end_token():
    tokenizer = new_tokenizer(TEXTS, 80)
    for text in TEXTS:
        ids = tokenizer(text)["input_ids"]
        assert ids[-1] == tokenizer.eos_token_id
        assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_a_turn_is_one_token_and_no_text():
    tokenizer = new_tokenizer(TEXTS, 80)
    ids = tokenizer(f"{TEXTS[0]} {TURN} {TEXTS[2]}")["input_ids"]
    assert ids.count(tokenizer.convert_tokens_to_ids(TURN)) == 1
    assert TURN not in tokenizer.decode(ids, skip_special_tokens=True)


def test_equal_texts_give_equal_pieces():
    one, other = (new_tokenizer(TEXTS * 20, 80).get_vocab() for _ in range(2))
    assert one == other


def test_pieces_are_those_of_sentencepiece():
    import io

    import sentencepiece

    proto = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS),
        model_writer=proto,
        vocab_size=60,
        hard_vocab_limit=False,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        normalization_rule_name="identity",
        pad_piece="<pad>",
        user_defined_symbols=[TURN, *BLANKS],
        num_threads=1,
        minloglevel=2,
    )
    peer = sentencepiece.SentencePieceProcessor(model_proto=proto.getvalue())
    tokenizer = new_tokenizer(TEXTS, 60)
    for text in [*TEXTS, "Where is the garden?"]:
        assert tokenizer(text)["input_ids"] == [*peer.encode(text), 1]


def test_no_text_is_refused():
    with pytest.raises(DataError, match="no text to learn a vocabulary"):
        new_tokenizer(iter(()), 80)


def test_the_vocabulary_survives_its_folder(tmp_path):
    from transformers import AutoTokenizer

    tokenizer = new_tokenizer(TEXTS, 80)
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    text = f"Where {TURN} garden?"
    assert again(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert (again.pad_token_id, again.eos_token_id) == (0, 1)


def test_weights_are_those_of_the_seed_and_leave_chance_alone():
    tokenizer = new_tokenizer(TEXTS, 80)
    before = torch.random.get_rng_state()
    one, same, other = (new_t5(tokenizer, SHAPE, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    for name, value in one.state_dict().items():
        assert torch.equal(value, same.state_dict()[name])
    assert not torch.equal(one.shared.weight, other.shared.weight)


def test_the_shape_is_the_one_asked():
    model = new_t5(new_tokenizer(TEXTS, 80), SHAPE, 1)
    config = model.config
    assert (len(model.encoder.block), len(model.decoder.block)) == (1, 2)
    assert (config.d_model, config.d_ff, config.num_heads, config.d_kv) == (16, 32, 2, 8)
    assert model.lm_head.weight is model.shared.weight
    assert config.decoder_start_token_id == config.pad_token_id == 0


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"width": 10, "heads": 4}, "a width that the heads divide"), ({"dropout": 1.0}, "below 1")],
)
def test_an_impossible_shape_is_refused(settings, said):
    with pytest.raises(ConfigError, match=said):
        T5Sizes(**settings)


def test_what_is_saved_says_the_same(tmp_path):
    from transformers import T5ForConditionalGeneration

    tokenizer = new_tokenizer(TEXTS, 80)
    model = new_t5(tokenizer, SHAPE, 1)
    model.save_pretrained(tmp_path)
    again = T5ForConditionalGeneration.from_pretrained(tmp_path).eval()
    ids = torch.tensor([tokenizer(TEXTS[0])["input_ids"]])
    said = [m(input_ids=ids, decoder_input_ids=ids).logits for m in (model, again)]
    assert torch.equal(*said)
    assert said[0].std() > 0.5  # logits tell words apart from the start: they are not scaled down
