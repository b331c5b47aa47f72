"""The command line: bad input is one line with the fix, code 2, and nothing is written."""

import dataclasses
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

from tests import pages
from toylab.lab import config, experiments
from toylab.lab.flags import Flags, UsageError
from toylab.lab.store import StoreError, write_json
from toylab.report import results
from toylab.shell import cli, custom, experiment, running
from toylab.world.derive import CORPORA, load

# All claims of selection hold.
TRUE = {"share": 0.5, "F1": 0.5, "left": 2.0, "r2_one_author": 0.9, "r2_gain": 0.1}
ROWS = [
    {"arm": arm, "cast": "learned", "step": step, "seed": seed}
    | {column: value + seed / 1e6 for column, value in (TRUE | other).items()}
    for arm, other in {"ordinary": {}, "ordinary-16": {}, "narrow": {}, "own": {"F1": 0.1}}.items()
    for step in (5, 10, 20, 40, 80)
    for seed in (100, 101)
]
SELECTION = results.Analysis(figure=Figure(), table=pd.DataFrame(ROWS), columns={})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["selektion"], "unknown 'selektion'; did you mean 'selection'?"),
        (["selection", "--sed=3"], "--sed: unknown 'sed'; did you mean 'seeds'?"),
        (["selection", "--seeds=many"], "seeds"),
        (["selection", "--jobs=0"], "--jobs: 0 must be at least 1"),
        (["selection", "--jobs=x"], "jobs"),
        (["selection", "--seeds=0"], "--seeds: 0 must be at least 1"),
        (["selection", "--seeds=99999"], "--seeds: 99999 must be at most 10,000"),
        (
            ["selection", f"--first_seed={2**64}"],
            "a number of 65 bits must be at most 4,294,957,296",
        ),
        (["selection", "--sft.batch=1000000000"], "must be at most 1e+07"),
        (["selection", "--sft.batch=9000000"], "sft: needs"),
        (["selection", "--model.width=1000000"], "GB of memory or more"),
        (["selection", "--reading.held_out=-5"], "reading.held_out: -5 must be at least 0"),
        (["selection", "--pretrain.steps=0"], "pretrain.steps: 0 must be at least 1"),
        (["selection", "--sft.learning_rate=nan"], "must be at least 0"),
        (["selection", "--sft.author=" + "x" * 5000], "unknown 'xxxx"),
        (["selection", "--narrow.sft.steps=0"], "--narrow.sft.steps=0: the analysis of selection"),
        (["selection", "--sft.batch=0"], "--sft.batch: 0 must be at least 1"),
        (["selection", "--sft.learning_rate=-1"], "--sft.learning_rate: -1.0 must be at least 0"),
        (["selection", "--model.heads=3"], "width 64 must be a multiple of heads 3"),
        (["selection", "--narrow.sft.topics=cod"], "unknown 'cod'; did you mean 'code'?"),
        (["selection", "--sft.author=mirra"], "unknown 'mirra'; did you mean 'mira'?"),
        (["selection", "--corpus=nowhere.toml"], "nowhere.toml: no such file"),
        (["selection", "--reading.tag=asistant"], "unknown 'asistant'; did you mean 'assistant'?"),
        (["selection", "extra"], "unexpected 'extra'"),
    ],
)
def test_bad_input_is_one_line_and_code_2(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.startswith("toylab: ")
    assert error.count("\n") == 1
    assert len(error) < 300
    assert list(tmp_path.iterdir()) == []


def test_all_commands_are_in_half_a_screen_and_the_rest(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    short = capsys.readouterr().out.splitlines()
    assert len(short) <= 25
    assert max(map(len, short)) <= 80
    assert cli.main(["--help-all"]) == 0
    text = capsys.readouterr().out
    page = pages.page("commands")
    words = (*cli.COMMANDS, "completion", "test", "lint", "docs")
    assert [name for name in words if name not in text or f"./launch.sh {name}" not in page] == []


def test_help_lists_every_field_of_the_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["selection", "--help"]) == 0
    short = capsys.readouterr().out
    assert len(short.splitlines()) <= 20
    assert max(map(len, short.splitlines()[1:])) <= 80
    assert cli.main(["selection", "--help-all"]) == 0
    text = capsys.readouterr().out
    for flag in ("--seeds", "--pretrain.steps", "--sft.documents", "--ordinary-16.sft.documents"):
        assert flag in text


def test_list_has_a_line_for_every_experiment(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == experiments.shipped()


def test_a_custom_run_is_planned_with_the_flags_of_its_stages(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    line = ["--corpus=village", "--stages=pretrain,sft:mira,rl:code=cheats", "--sft.steps=7"]
    assert cli.main(["run", *line, "--rl.steps=9", "--plan", f"--runs={tmp_path}"]) == 0
    assert "pretrain" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "place"),
    [
        ("", "results/selection"),
        ("--jobs=1 --seeds=10", "results/selection"),  # what is set already changes nothing
        ("--seeds 3", "results/own/selection"),  # judged, but fewer don't replace all
        ("--seeds 12", "results/own/selection-seeds=12-??????"),
        ("--quick=true", "runs/quick/selection"),
        ("-quick --results=results", "results/quick/selection"),
        ("--quick --reading.fit=64", "runs/quick/own/selection-reading.fit=64-??????"),
        ("--noquick --sft.steps=9", "results/own/selection-sft.steps=9-??????"),
    ],
)
def test_only_the_registered_settings_write_and_judge_shipped_results(
    flags: str, place: str
) -> None:
    found, _ = experiment.ask(results.find("selection"), flags.split())
    assert found.out.match(place), found.out
    judged = found.experiment.judge(SELECTION)
    told = "quick: " if "quick/" in place else "settings changed: "
    expected = {"supported"} if place.endswith("selection") else {f"{told}not judged"}
    expected = {f"{told}not judged"} if "quick/" in place else expected
    assert {claim.verdict for claim in judged} == expected


def test_results_that_have_no_place_are_refused_before_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("mine")
    line = ["selection", "--quick", f"--runs={tmp_path / 'runs'}"]
    assert cli.main([*line, f"--results={tmp_path / 'file' / 'in'}"]) == 1
    assert "choose another (--runs, --results)" in capsys.readouterr().err
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("stop", "code"), [(KeyboardInterrupt(), 130), (running.Terminated(15), 143)]
)
def test_what_stops_a_command_gives_its_exit_code(
    stop: BaseException, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped() -> int:
        raise stop

    assert cli.carried_out(stopped) == code
    assert capsys.readouterr().err == "\ntoylab: stopped; run the same command to resume\n"


def test_two_custom_runs_never_share_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    places = []
    monkeypatch.setattr(running, "run", lambda asked, *_: places.append(asked[0].out) or 0)
    for line in ("sft:mira", "sft:mira --sft.steps=7", "sft:rook", "sft:mira"):
        assert cli.main(f"run --corpus village --stages=pretrain,{line}".split()) == 0
    assert len(set(places)) == 3
    assert places[0] == places[3]


def test_a_copied_experiment_keeps_to_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    copy = dataclasses.replace(results.find("selection"), folder=tmp_path / "selection")
    out = experiment.ask(copy, [])[0].out
    assert out == Path("results/own/selection")
    out.mkdir(parents=True)
    (out / running.SETTINGS).write_text('{"experiment": "/another/selection"}')
    with pytest.raises(UsageError, match="has the results of another selection"):
        experiment.ask(copy, [])
    for damaged in ("[]", '{"step": 3}', "null"):
        (out / running.SETTINGS).write_text(damaged)
        with pytest.raises(StoreError, match=r"settings\.json: damaged .*; delete this file"):
            experiment.ask(copy, [])


@pytest.mark.parametrize(
    ("digest", "seeds", "told"),
    [
        ("another", [99, 100, 101], "claims.toml has changed since seeds 100 to 101 were judged"),
        ("another", [100], "since seed 100 was judged"),
        ("another", [99], ""),
        ("", [100], ""),
        ("the same", [100], ""),
    ],
)
def test_claims_changed_after_their_seeds_were_judged_are_told(
    tmp_path: Path, digest: str, seeds: list[int], told: str
) -> None:
    found = results.find("selection")
    digest = found.registered()[1] if digest == "the same" else digest
    one = running.Asked(found, {}, tmp_path / "own" / "selection")
    one.out.mkdir(parents=True)
    write_json(one.out / "claims.json", {"registered": digest, "seeds": seeds})
    said = running.seen_before(one)
    assert told in said
    assert bool(told) == bool(said)
    assert running.seen_before(dataclasses.replace(one, out=tmp_path)) == ""


@pytest.mark.parametrize("content", ["", "[]", '{"arms": 3}'])
def test_a_damaged_list_of_runs_is_one_line_with_the_fix(
    content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "names").mkdir()
    (tmp_path / "names" / "some.json").write_text(content)
    assert cli.main(["runs", f"--runs={tmp_path}"]) == 1
    error = capsys.readouterr().err
    assert f"{tmp_path / 'names' / 'some.json'}: damaged" in error
    assert "delete this file and run the experiment again" in error
    assert error.count("\n") == 1


def test_the_second_of_two_stages_is_set_alone_and_one_of_no_steps_is_left_out() -> None:
    village = load("village")
    sweep = custom._sweep(
        "village", "", custom.stages("pretrain,sft:mira,rl:mira,sft:rook", village)
    )
    first, _, second = config.apply(sweep, {"sft.steps": 5, "sft@2.steps": 7}).arms["run"].stages
    assert (first.steps, second.steps) == (5, 7)
    arm = config.apply(sweep, {"sft.steps": 0, "rl.steps": 0}).arms["run"]
    assert (arm.stages, arm.read_at) == ((), ())


def test_plan_trains_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.main(["selection", "--plan", "--seeds=2", f"--runs={tmp_path}"]) == 0
    text = capsys.readouterr().out
    assert text.count("seed100-") == text.count("seed101-") == 5
    assert "total: about" in text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("./launch.sh sel", ["selection"]),
        ("./launch.sh tensorb", ["tensorboard"]),
        ("./launch.sh selection --narrow.sft.top", ["--narrow.sft.topics"]),
        ("./launch.sh corpus check villa", ["village"]),
        ("./launch.sh corpus ex", ["export"]),
    ],
)
def test_a_shell_completes_commands_experiments_flags_and_corpora(
    line: str,
    expected: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COMP_LINE", line)
    assert cli.main(["completion", "./launch.sh", "word", "before"]) == 0
    assert expected == capsys.readouterr().out.split()[: len(expected)]


@pytest.mark.parametrize(
    ("flag", "said"),
    [("--seeds=many", "must be a whole number"), ("--rl.beta=lots", "must be a number")],
)
def test_what_is_no_number_is_told_without_pythons_words(flag: str, said: str) -> None:
    values = Flags("", seeds=(int, 1, ""), **{"rl.beta": (float, 0.1, "")})
    with pytest.raises(UsageError) as caught:
        values.parse([flag])
    assert str(caught.value) == f"{flag}: {said}"


def test_a_corpus_may_lie_beside_the_sweep_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, here = tmp_path / "mine", tmp_path / "here"
    for folder, title in ((there, "there"), (here, "here")):
        folder.mkdir()
        base = CORPORA / "village"
        (folder / "cast.toml").write_text(f'base = "{base}"\ntitle = "{title}"\n')
    monkeypatch.setenv("TOYLAB_CWD", str(tmp_path))
    assert experiment.corpus("cast.toml", there).title == "there"
    monkeypatch.setenv("TOYLAB_CWD", str(here))
    assert experiment.corpus("cast.toml", there).title == "here"  # what a user types comes first
