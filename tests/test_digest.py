"""A cached result goes stale with any source that its class can reach, and with no other."""

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from experiments.formation import optimum
from experiments.goal_ablations import demonstrate
from experiments.validation import imitate
from toylab.lab import digest
from toylab.ladder.reading import Ladder, LadderFit
from toylab.measures import coherence, context, cues, tags
from toylab.policy.transformer import ModelConfig
from toylab.stages import Anchored, Dpo, FollowsCue, Pretrain, Rl, Sft

ROOT = Path(__file__).parent.parent
# A changed module, and classes whose results depend on it, though they don't import it directly.
FAR = {
    "toylab.world.schema": [Sft, Pretrain, cues.Goals, Ladder],
    "toylab.ladder.fit": [coherence.Coherence, context.Exchange, Ladder],
    "toylab.ladder.mixtures": [tags.TagWeights, context.Exchange],
    "toylab.stages.targets": [Rl, demonstrate.Demonstrate],
    "experiments.validation.plants": [imitate.Imitate],
}
FREE = ("toylab.report.figures", "toylab.shell.cli", "toylab.lab.execute", "toylab.report.claims")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of both packages, to be changed."""
    root = tmp_path_factory.mktemp("source")
    for package in ("toylab", "experiments"):
        shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("*.pyc"))
    return root


def touched(copy: Path, modules: Sequence[str], asked: Iterable[type]) -> set[type]:
    """The classes whose digest changes with a line at the end of modules."""

    def digests() -> dict[type, str]:
        digest._source.cache_clear()
        digest.digest_of.cache_clear()
        return {each: digest.digest_of(frozenset([each.__module__]), (copy,)) for each in asked}

    files = [copy.joinpath(*module.split(".")).with_suffix(".py") for module in modules]
    before, texts = digests(), [file.read_text() for file in files]
    for file, text in zip(files, texts, strict=True):
        file.write_text(text + "\nCHANGED = 1\n")
    after = digests()
    for file, text in zip(files, texts, strict=True):
        file.write_text(text)
    return {each for each in asked if before[each] != after[each]}


@pytest.mark.parametrize(("module", "asked"), FAR.items())
def test_a_helper_that_is_reached_through_others_makes_results_stale(
    copy: Path, module: str, asked: list[type]
) -> None:
    assert touched(copy, [module], asked) == {*asked}


def test_figures_and_the_shell_do_not(copy: Path) -> None:
    asked = (Sft, Rl, Ladder, coherence.Coherence, demonstrate.Demonstrate)
    assert not touched(copy, FREE, asked)


def test_words_are_no_code(tmp_path: Path) -> None:
    """Docstrings and comments can change without training anything again."""
    (tmp_path / "mine.py").write_text('"""One."""\ndef f():\n    """Two."""\n    return 1\n')
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.py").write_text('"""Three."""\ndef f():\n    return 1  # four\n')
    roots = [(tmp_path,), (tmp_path / "other",)]
    mine = frozenset(["mine"])
    one, other = (digest.digest_of(mine, each) for each in roots)
    assert one == other
    (tmp_path / "other" / "mine.py").write_text("def f():\n    return 2\n")
    digest._source.cache_clear()
    digest.digest_of.cache_clear()
    assert digest.digest_of(mine, roots[1]) != one


def test_a_stage_does_not_depend_on_the_stages_beside_it(copy: Path) -> None:
    beside = ["toylab.stages.dpo", "toylab.measures.denial"]
    assert not touched(copy, beside, [Sft, coherence.Coherence])
    assert not touched(copy, ["toylab.stages.pretrain"], [Rl])


def test_a_config_depends_on_the_classes_within_it() -> None:
    """The anchor, the reward, and the settings of the pretrained model's reference."""
    plain = Rl(target=FollowsCue())
    assert digest.digest(Anchored(inner=plain)) != digest.digest(
        Anchored(inner=Dpo(target=FollowsCue()))
    )
    assert digest.digest(Anchored(inner=plain)) == digest.digest(Anchored(inner=plain, beta=2.0))
    assert digest.digest(coherence.Coherence(), LadderFit()) != digest.digest(LadderFit())


def test_source_outside_the_checkout_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user's stage, in any folder, with a helper module beside it."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "helper.py").write_text("STEPS = 1\n")
    (folder / "stage.py").write_text(
        "import dataclasses\nfrom toylab.stages import Sft\nfrom .helper import STEPS\n"
        "@dataclasses.dataclass(frozen=True, kw_only=True)\n"
        "class Mine(Sft):\n    more: int = STEPS\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import mine.stage  # type: ignore[import-not-found]

    stage = mine.stage.Mine(author="mira")
    before = digest.digest(stage)
    (folder / "helper.py").write_text("STEPS = 2\n")
    digest._source.cache_clear()
    digest.digest_of.cache_clear()
    assert digest.digest(stage) != before


def test_experiments_own_stages_reach_what_they_build_on() -> None:
    reached = digest.reached([demonstrate.__name__, optimum.__name__], (ROOT,))
    assert {"toylab.stages.targets", "toylab.stages.losses", "toylab.stages.base"} <= set(reached)


def test_a_trained_model_goes_stale_with_the_source_of_its_network() -> None:
    models = digest.digest(ModelConfig(), Sft(author="mira")), digest.digest(Sft(author="mira"))
    assert models[0] != models[1]
    assert "toylab.policy.transformer" in digest.reached([ModelConfig.__module__], (ROOT,))
