"""The public API in any order, with arguments good and hostile: an answer, or an error of ours."""

from __future__ import annotations

import tempfile
from pathlib import Path

import api_cases
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

import scaling_laws as sl

RANDOM = st.randoms(use_true_random=False)


class PublicApi(RuleBasedStateMachine):
    """Calls on what earlier calls left; `api_cases` checks each answer."""

    def __init__(self):
        super().__init__()
        self.home = tempfile.TemporaryDirectory()
        self.world = api_cases.World(Path(self.home.name))
        self.seen = {}

    def teardown(self):
        self.home.cleanup()

    @rule(rng=RANDOM)
    def fit(self, rng):
        api_cases.attempt(api_cases.call_fit, rng, self.world)

    @rule(rng=RANDOM)
    def select(self, rng):
        api_cases.attempt(api_cases.call_select, rng, self.world)

    @rule(rng=RANDOM)
    def predict(self, rng):
        api_cases.attempt(api_cases.call_predict, rng, self.world)

    @rule(rng=RANDOM)
    def save_load_pickle_and_copy(self, rng):
        api_cases.attempt(api_cases.call_copies, rng, self.world)

    @rule(rng=RANDOM)
    def load_a_damaged_file(self, rng):
        api_cases.attempt(api_cases.call_damaged_file, rng, self.world)

    @rule(rng=RANDOM)
    def plan(self, rng):
        api_cases.attempt(api_cases.call_plan, rng, self.world)

    @rule(rng=RANDOM)
    def ask(self, rng):
        api_cases.attempt(api_cases.call_ask, rng, self.world)

    @rule(rng=RANDOM)
    def compare(self, rng):
        api_cases.attempt(api_cases.call_compare, rng, self.world)

    @rule(rng=RANDOM)
    def read_and_clean(self, rng):
        api_cases.attempt(api_cases.call_read, rng, self.world)

    @rule(rng=RANDOM)
    def study(self, rng):
        api_cases.attempt(api_cases.call_study, rng, self.world)

    @rule(rng=RANDOM)
    def ask_of_machines(self, rng):
        api_cases.attempt(api_cases.call_machine, rng, self.world)

    @rule(rng=RANDOM)
    def sample(self, rng):
        api_cases.attempt(api_cases.call_sample, rng, self.world)

    @invariant()
    def use_changes_no_fit(self):
        for made in self.world.fits:
            assert self.seen.setdefault(id(made), api_cases.fingerprint(made)) == (
                api_cases.fingerprint(made)
            )


PublicApi.TestCase.settings = settings(
    max_examples=5,
    phases=(Phase.generate,),  # benchmarks/fuzz_api.py finds more, and faster than shrinking
    stateful_step_count=12,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
test_public_api = PublicApi.TestCase


def _lie(rng, world):
    return int("not a number")


def test_an_error_that_is_not_ours_is_let_through(tmp_path):
    with pytest.raises(ValueError, match="invalid literal"):
        api_cases.attempt(_lie, None, api_cases.World(tmp_path))


def test_a_prediction_that_is_not_a_number_is_seen():
    fit = sl.fit(api_cases.good_table_of(4), "power", inputs=["params"], draws=0)
    frame = fit.predict(params=[1e9])
    api_cases.check_prediction(fit, frame)
    with pytest.raises(AssertionError, match="a prediction is NaN"):
        api_cases.check_prediction(fit, frame.assign(loss=float("nan")))
