"""Fits of groups: alone they are the fits alone, together they share what is true of all."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from simulate import grid_runs

import scaling_laws as sl
from scaling_laws.laws.registry import get_law
from scaling_laws.laws.tied import tie

FAMILY = get_law("chinchilla")
TRUTHS = {
    "pile": {"E": 1.8, "A": 480.0, "alpha": 0.35, "B": 2100.0, "beta": 0.37},
    "code": {"E": 0.9, "A": 300.0, "alpha": 0.35, "B": 1200.0, "beta": 0.37},
}


def two_corpora(noise=0.003, sizes=5, truths=TRUTHS):
    parts = [
        grid_runs(sizes, sizes, noise, seed=i, law=FAMILY.with_coef(coef)).assign(corpus=name)
        for i, (name, coef) in enumerate(truths.items())
    ]
    return pd.concat(parts, ignore_index=True)


def close(one, other, tolerance=1e-8):
    for name, value in one.coef.items():
        assert other.coef[name] == pytest.approx(value, rel=tolerance), name


@pytest.fixture(scope="module")
def runs():
    return two_corpora()


@pytest.fixture(scope="module")
def together(runs):
    return sl.fit(runs, "chinchilla", group="corpus", shared=("alpha", "beta"), draws=200)


class TestAlone:
    def test_every_group_is_the_fit_of_its_rows(self, runs):
        grouped = sl.fit(runs, "chinchilla", group="corpus", draws=50)
        for label, fit in grouped.items():
            alone = sl.fit(runs[runs.corpus == label], "chinchilla", draws=50)
            close(fit, alone)
            np.testing.assert_allclose(fit.draws, alone.draws, rtol=1e-8)
            assert fit.delta == alone.delta
            assert fit.digest == alone.digest
            assert [n.code for n in fit.notes] == [n.code for n in alone.notes]

    def test_two_measures_of_the_same_runs_are_paired(self):
        """Rows of one run weigh alike in both groups, so the shared luck cancels."""
        table = grid_runs(5, 5, noise=0.02)
        both = pd.concat(
            [
                table.assign(domain="a", run=range(25)),
                table.assign(domain="b", run=range(25), loss=table.loss * 1.1),
            ]
        )
        grouped = sl.fit(both, "chinchilla", group="domain", draws=100)
        at = [np.array([1e9]), np.array([1e11])]
        a, b = (f.predictive.draws(at, ("coefficients",))[:, 0] for f in grouped.fits)
        assert np.std(np.log(a / b)) < 0.01 * np.std(np.log(a))


class TestTogether:
    def test_shared_coefficients_are_equal_and_near_the_truth(self, together):
        pile, code = together["pile"], together["code"]
        for name in ("alpha", "beta"):
            assert pile.coef[name] == code.coef[name]
            assert pile.stderr[name] == code.stderr[name]
            assert abs(pile.coef[name] - TRUTHS["pile"][name]) < 3 * pile.stderr[name]
            column = list(FAMILY.coefficient_names).index(name)
            np.testing.assert_array_equal(pile.draws[:, column], code.draws[:, column])
        assert abs(code.coef["E"] - 0.9) < 3 * code.stderr["E"]
        assert together.trusted

    def test_sharing_narrows_intervals(self):
        """On average: in one table either group can be the luckier one."""
        ratios = []
        for seed in range(5):
            table = two_corpora(noise=0.0)
            rng = np.random.default_rng(seed)
            table["loss"] *= np.exp(0.01 * rng.standard_normal(len(table)))
            options = {"group": "corpus", "robust": None, "draws": 100, "law_error": False}
            apart = sl.fit(table, "chinchilla", **options)
            joint = sl.fit(table, "chinchilla", shared=("alpha", "beta"), **options)
            at = {"corpus": list(joint), "params": 1e12, "tokens": 1e13, "kind": "mean"}
            ahead = [g.predict(**at) for g in (joint, apart)]
            widths = [np.log(a.loss_high / a.loss_low).mean() for a in ahead]
            spreads = [np.mean([f.stderr["alpha"] for f in g.fits]) for g in (joint, apart)]
            ratios.append([widths[0] / widths[1], spreads[0] / spreads[1]])
        assert (np.mean(ratios, axis=0) < 0.85).all()

    def test_exact_data_give_the_truth_back(self):
        exact = two_corpora(noise=0.0)
        for shared in (("alpha",), ("alpha", "beta"), ("alpha", "B")):
            truths = {g: {**t, **{s: TRUTHS["pile"][s] for s in shared}} for g, t in TRUTHS.items()}
            exact = two_corpora(0.0, truths=truths)
            grouped = sl.fit(exact, "chinchilla", group="corpus", shared=shared, draws=0)
            for label, fit in grouped.items():
                for name, value in truths[label].items():
                    assert fit.coef[name] == pytest.approx(value, rel=1e-5), (shared, label, name)

    @pytest.mark.parametrize(
        ("law", "shared"),
        [("coupled", ("alpha", "beta", "k")), ("coupled", ("E",)), ("kaplan", ("alpha_N",))],
    )
    def test_laws_that_are_solved_in_other_coefficients(self, law, shared):
        family = get_law(law)
        base = dict(family.example)
        other = {n: v if n in shared else v * 1.1 for n, v in base.items()}
        truths = {"a": base, "b": other}
        parts = [
            grid_runs(6, 6, 0.0, law=family.with_coef(c)).assign(corpus=g)
            for g, c in truths.items()
        ]
        table = pd.concat(parts)
        grouped = sl.fit(table, law, group="corpus", shared=shared, draws=0)
        for label, fit in grouped.items():
            assert np.max(np.abs(fit.residuals)) < 1e-5
            assert all(fit.coef[n] == grouped["a"].coef[n] for n in shared), label

    def test_everything_shared_is_the_fit_of_all_rows(self, runs):
        names = FAMILY.coefficient_names
        one = runs[runs.corpus == "pile"].reset_index(drop=True)
        one["corpus"] = np.where(np.arange(len(one)) % 2, "odd", "even")
        grouped = sl.fit(one, "chinchilla", group="corpus", shared=names, draws=20)
        pooled = sl.fit(one, "chinchilla", draws=20)
        close(grouped["odd"], pooled, 1e-6)
        np.testing.assert_allclose(grouped["even"].draws, pooled.draws, rtol=1e-4)

    def test_the_order_of_rows_does_not_matter(self, runs, together):
        mixed = runs.sample(frac=1.0, random_state=3)
        again = sl.fit(mixed, "chinchilla", group="corpus", shared=("beta", "alpha"), draws=200)
        assert again.groups == together.groups == ("code", "pile")
        for label, fit in together.items():
            close(fit, again[label])
            np.testing.assert_allclose(fit.draws, again[label].draws, rtol=1e-8)

    def test_objectives_add_up_and_exceed_those_apart(self, runs):
        options = {"group": "corpus", "robust": None, "draws": 0}
        apart = sl.fit(runs, "chinchilla", **options)
        joint = sl.fit(runs, "chinchilla", shared=("alpha",), **options)
        sums = [sum(f.objective for f in g.fits) for g in (apart, joint)]
        assert sums[0] <= sums[1] < 1.2 * sums[0]
        squares = sum(0.5 * np.sum(f.residuals**2) for f in joint.fits)
        assert sums[1] == pytest.approx(squares)

    def test_options_reach_every_group(self, runs):
        def fit(**options):
            return sl.fit(
                runs, "chinchilla", group="corpus", shared=("alpha",), draws=20, **options
            )

        fixed = fit(fixed={"E": 1.0})
        assert [f.coef["E"] for f in fixed.fits] == [1.0, 1.0]
        assert [f.stderr["E"] for f in fixed.fits] == [0.0, 0.0]
        tied = fit(ties={"beta": ("alpha", 1.1)})
        assert all(f.coef["beta"] == pytest.approx(1.1 * f.coef["alpha"]) for f in tied.fits)
        assert all(f.coef["E"] <= 1.0 for f in fit(bounds={"E": (0.0, 1.0)}).fits)
        assert fit(bounds={"E": (0.0, 1.0)})["pile"].at_bound == ("E",)
        firm = fit(priors={"beta": (0.5, 1e-4)})
        assert all(f.coef["beta"] == pytest.approx(0.5, abs=1e-3) for f in firm.fits)
        started = fit(start={"alpha": 0.3})
        close(started["pile"], fit()["pile"], 1e-6)
        assert fit(focus=1.0)["pile"].coef != fit()["pile"].coef
        assert fit(robust=sl.Huber(1e-3))["pile"].delta == 1e-3

    def test_workers_do_not_change_the_draws(self, runs, together):
        again = sl.fit(
            runs, "chinchilla", group="corpus", shared=("alpha", "beta"), draws=200, workers=2
        )
        np.testing.assert_array_equal(again["pile"].draws, together["pile"].draws)

    def test_a_group_of_few_rows_borrows_from_the_others(self, runs):
        few = pd.concat([runs[runs.corpus == "pile"], runs[runs.corpus == "code"].iloc[::8]])
        with pytest.raises(sl.DataError, match="group 'code' of 'corpus': 4 runs cannot determine"):
            sl.fit(few, "chinchilla", group="corpus")
        grouped = sl.fit(few, "chinchilla", group="corpus", shared=("alpha", "beta"), draws=50)
        code = grouped["code"]
        assert code.coef["E"] == pytest.approx(0.9, abs=0.1)
        assert code.noise == pytest.approx(0.003, rel=0.5)  # of all rows: its own are too few
        with pytest.raises(sl.DataError, match=r"group 'code' .* has 2 rows for its 3 own"):
            sl.fit(few.iloc[:-2], "chinchilla", group="corpus", shared=("alpha", "beta"))


class TestShift:
    def test_sharing_what_differs_is_doubted(self):
        truths = {**TRUTHS, "code": {**TRUTHS["code"], "beta": 0.3}}
        table = two_corpora(truths=truths)
        grouped = sl.fit(table, "chinchilla", group="corpus", shared=("beta",), draws=0)
        assert "group_shift" in {n.code for n in grouped.notes}
        assert not grouped["pile"].trusted
        told = next(n for n in grouped.notes if n.code == "group_shift")
        assert told.details["p_value"] < 1e-3

    def test_sharing_what_is_common_is_not(self):
        for seed in range(6):
            table = two_corpora(noise=0.01)
            rng = np.random.default_rng(seed)
            table["loss"] *= np.exp(0.01 * rng.standard_normal(len(table)))
            grouped = sl.fit(table, "chinchilla", group="corpus", shared=("alpha", "beta"), draws=0)
            assert "group_shift" not in {n.code for n in grouped.notes}

    def test_checkpoints_of_few_runs_do_not_count_as_many(self):
        """Curves that wander together: rows alone would call the exponents different."""
        rng = np.random.default_rng(5)
        rows = []
        for run in range(16):
            tokens = np.geomspace(1e8, 1e10, 30)
            loss = (2.0 + 90.0 * tokens**-0.25) * np.exp(
                0.01 * rng.standard_normal() + 0.02 * rng.standard_normal() * np.linspace(-1, 1, 30)
            )
            rows.append(pd.DataFrame({"tokens": tokens, "loss": loss, "run": run}))
        table = pd.concat(rows)
        table["half"] = np.where(table.run < 8, "a", "b")
        options = {"group": "half", "shared": ("E", "A", "alpha"), "draws": 0}
        options["inputs"] = ("tokens",)
        as_runs = sl.fit(table, "power_with_floor", **options)
        as_rows = sl.fit(table.drop(columns="run"), "power_with_floor", **options)
        assert "group_shift" not in {n.code for n in as_runs.notes}
        assert "group_shift" in {n.code for n in as_rows.notes}


class TestUse:
    def test_tables_are_predicted_row_by_row(self, together):
        table = pd.DataFrame(
            {
                "corpus": ["pile", "code", "pile"],
                "params": [1e9, 1e9, 2e9],
                "tokens": 1e11,
                "extra": 0,
            },
            index=[7, 3, 5],
        )
        ahead = together.predict(table)
        assert ahead.index.tolist() == [7, 3, 5]
        assert ahead.corpus.tolist() == ["pile", "code", "pile"]
        for (_, row), (_, given) in zip(ahead.iterrows(), table.iterrows(), strict=True):
            alone = together[given.corpus].predict(params=given.params, tokens=1e11).iloc[0]
            assert row.drop("corpus").tolist() == pytest.approx(alone.tolist())
        by_name = together.predict(corpus=["pile", "code", "pile"], params=[1e9, 1e9, 2e9],
                                   tokens=1e11)  # fmt: skip
        assert by_name.loss.tolist() == ahead.loss.tolist()

    def test_a_group_plans_and_saves_like_any_fit(self, together, tmp_path):
        plan = sl.Planner(together["code"]).for_budget(flops=1e23)
        assert plan.best["params"] > 0
        together["code"].save(tmp_path / "code.json")
        assert sl.load(tmp_path / "code.json").coef == together["code"].coef
        assert list(together["code"].interval().columns) == ["low", "high"]
        assert len(together["code"].residual_table()) == 25

    def test_saved_and_loaded(self, together, tmp_path):
        together.save(tmp_path / "groups.json")
        again = sl.load(tmp_path / "groups.json")
        assert isinstance(again, sl.GroupedFit)
        assert (again.group, again.shared, again.groups) == (
            together.group, together.shared, together.groups,
        )  # fmt: skip
        assert again.notes == together.notes
        assert str(again) == str(together)
        table = {"corpus": ["pile", "code"], "params": 1e10, "tokens": 1e12}
        pd.testing.assert_frame_equal(again.predict(table), together.predict(table))

    def test_shown(self, together):
        shown = str(together)
        assert shown.startswith("Fits of chinchilla by corpus: L(N, D) = E + A N^-alpha")
        assert "2 groups | 50 runs | in common: alpha, beta" in shown
        assert repr(together) == shown
        assert "<table>" in together._repr_html_()
        assert together.coef.loc["pile", "E"] == together["pile"].coef["E"]
        assert together.summary().loc[("code", "E"), "value"] == together["code"].coef["E"]

    def test_behaves_like_a_mapping(self, together):
        assert list(together) == ["code", "pile"]
        assert len(together) == 2
        assert "pile" in together
        assert [fit for _, fit in together.items()] == list(together.fits)

    def test_numbers_name_groups_too(self, tmp_path):
        table = two_corpora().assign(corpus=np.repeat([10, 2], 25))
        grouped = sl.fit(table, "chinchilla", group="corpus", draws=10)
        assert grouped.groups == (2, 10)
        grouped.save(tmp_path / "n.json")
        assert sl.load(tmp_path / "n.json")[10].coef == grouped[10].coef
        assert grouped.predict(corpus=[2.0, 10.0], params=1e9, tokens=1e10).corpus.tolist() == [
            2.0,
            10.0,
        ]


class TestErrors:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"group": "corpora"}, r"group='corpora' is not a column. Did you mean 'corpus'\?"),
            ({"group": "corpus", "shared": ("alfa",)}, "Did you mean 'alpha'"),
            ({"group": "corpus", "shared": "alpha"}, "must be a sequence of names"),
            ({"group": "params"}, "is also an input or the target"),
            ({"shared": ("alpha",)}, "name the column of the groups with group="),
            ({"group": "corpus", "shared": ("beta",), "ties": {"beta": "alpha"}}, "Share both"),
            (
                {"group": "corpus", "shared": ("beta",), "fixed": {"betta": 1}},
                "Did you mean 'beta'",
            ),
        ],
    )
    def test_options_that_make_no_sense(self, runs, options, message):
        with pytest.raises(sl.DataError, match=message):
            sl.fit(runs, "chinchilla", **options)

    def test_labels_that_name_no_group(self, runs):
        table = runs.copy()
        table.loc[3, "corpus"] = np.nan
        with pytest.raises(sl.DataError, match="must hold text or numbers: row 3 has nan"):
            sl.fit(table, "chinchilla", group="corpus")
        mixed = runs.assign(corpus=[1, "1"] * 25)
        with pytest.raises(sl.DataError, match="groups that read alike"):
            sl.fit(mixed, "chinchilla", group="corpus")
        with pytest.raises(sl.DataError, match="has the single group 'pile'"):
            sl.fit(runs[runs.corpus == "pile"], "chinchilla", group="corpus")

    def test_groups_that_are_not_there(self, together):
        with pytest.raises(sl.DataError, match=r"no group 'pie'. Did you mean 'pile'\?"):
            together["pie"]
        with pytest.raises(sl.DataError, match="row 1: 'corpus' has no group 'c4'"):
            together.predict(corpus=["pile", "c4"], params=1e9, tokens=1e10)
        with pytest.raises(sl.DataError, match="column 'corpus' is missing"):
            together.predict(params=1e9, tokens=1e10)
        with pytest.raises(sl.DataError, match="not both"):
            together.predict({"corpus": ["pile"]}, params=1e9)
        with pytest.raises(sl.DataError, match="do not broadcast"):
            together.predict(corpus=["pile"] * 2, params=[1.0] * 3, tokens=1e9)


def test_the_derivatives_of_a_law_over_groups():
    law = tie(FAMILY, ("a", "b"), ("alpha", "B"), "corpus")
    rng = np.random.default_rng(0)
    x = [*np.exp(rng.uniform(1, 3, (2, 9))), rng.integers(0, 2, 9).astype(float)]
    coef = rng.uniform(0.2, 2.0, (len(law.coefficients), 4))
    value, columns = law.evaluate_with_jacobian(x, list(coef[:, :, None]))
    assert value.shape == (4, 9)
    for j in range(len(coef)):
        h = np.zeros_like(coef)
        h[j] = 1e-6
        above, below = (law.evaluate(x, list((coef + s * h)[:, :, None])) for s in (1, -1))
        np.testing.assert_allclose(columns[j], (above - below) / 2e-6, rtol=1e-5, atol=1e-7)


class TestOpenData:
    def test_two_corpora_of_parallel_streams(self, shared_data):
        table = pd.read_csv(shared_data / "scalebench_parallel.csv")
        table = table.rename(columns={"parallel_size": "streams"})
        law, options = "parallel_streams", {"group": "group", "draws": 50}
        apart = sl.fit(table, law, **options)
        joint = sl.fit(table, law, shared=("alpha",), **options)
        assert joint["stack"].stderr["alpha"] < apart["stack"].stderr["alpha"]
        assert "group_shift" not in {n.code for n in joint.notes}
        assert all(f.noise < 0.004 for f in joint.fits)
        wrong = sl.fit(table, law, shared=("E", "alpha"), **options)
        assert "group_shift" in {n.code for n in wrong.notes}

    def test_sparsity(self, shared_data):
        table = pd.read_csv(shared_data / "scalebench_sparsity.csv")
        columns = {"params": "n_active", "tokens": "d2"}
        joint = sl.fit(table[table.groupby("group").group.transform("size") > 3],
                       "power_with_floor", inputs=("params",), columns=columns, group="group",
                       shared=("alpha",), draws=20)  # fmt: skip
        assert len(joint) >= 2
        assert len({f.coef["alpha"] for f in joint.fits}) == 1

    def test_fine_tuning_of_some_models(self, shared_data):
        table = pd.read_csv(shared_data / "scalebench_sft.csv")
        some = list(table.group.unique())[:3]
        joint = sl.fit(table[table.group.isin(some)], "rectified", inputs=("samples",),
                       group="group", shared=("beta",), draws=20)  # fmt: skip
        assert all(np.sqrt(np.mean(f.residuals**2)) < 0.02 for f in joint.fits)
