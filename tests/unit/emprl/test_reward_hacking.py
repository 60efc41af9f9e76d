"""What replies that talk to nobody earn from the judge that gives the reward."""

from __future__ import annotations

import pytest
from recipes.emprl.hacks import HACKS, earned

from emotone.judges import identifiers, open_identifier
from emotone.models import installed

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def rewards():
    if "empathy-reward" not in identifiers() or "minilm" not in installed():
        pytest.skip("the identifier or its encoder is not here")
    return earned(open_identifier("empathy-reward"))


@pytest.mark.parametrize("kind", HACKS)
def test_with_guards_no_trick_earns_what_a_sensible_reply_earns(rewards, kind: str):
    assert rewards[kind]["on"] < rewards["sensible"]["on"] - 0.1


def test_guards_cost_a_person_nothing(rewards):
    for kind in ("reference", "sensible"):
        assert rewards[kind]["on"] == pytest.approx(rewards[kind]["off"], abs=0.005)


def test_a_person_earns_most(rewards):
    for guards in ("on", "off"):
        assert max(rewards, key=lambda kind: rewards[kind][guards]) == "reference"


def test_without_guards_tricks_do_earn_more_than_a_sensible_reply(rewards):
    # This is why there are guards; it is shown on the page of results and not hidden.
    sensible = rewards["sensible"]["off"]
    assert rewards["constant"]["off"] > sensible
    assert rewards["repeated"]["off"] > sensible
