"""Hugging Face models are read as outside policies: no hub, only models made here."""

import importlib.util
import re
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from toylab.ladder.fit import FAMILIES
from toylab.ladder.outside import ladder
from toylab.ladder.reading import Ladder
from toylab.measures.calibration import over
from toylab.policy.huggingface import of_pretrained, word_tokenizer
from toylab.policy.policy import ModelPolicy
from toylab.shell import excerpts
from toylab.stages import Pretrain, Setup, begin, segments, train_key
from toylab.world import documents as docs
from toylab.world.grammar import vocabulary
from toylab.world.schema import Corpus

if not (importlib.util.find_spec("torch") and importlib.util.find_spec("transformers")):
    MISSING = "NO HUGGING FACE HERE (.venv/bin/python -m pip install '.[hf]'): its test is skipped"
    warnings.warn(MISSING, stacklevel=1)
    pytest.skip(MISSING, allow_module_level=True)
torch, transformers, tokenizers = map(
    importlib.import_module, ("torch", "transformers", "tokenizers")
)

PAGE = Path(__file__).parent.parent / "docs" / "outside_policy.md"
GPT2 = {"n_embd": 8, "n_layer": 1, "n_head": 1, "bos_token_id": None, "eos_token_id": None}
BERT = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
LLAMA = {**BERT, "bos_token_id": None, "eos_token_id": None}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def save(folder: Path, tokenizer, kind: str = "gpt2", size: int = 0, **settings) -> None:
    """An untrained model and a tokenizer in a folder."""
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(kind, vocab_size=size or len(tokenizer), **settings)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def reading(model, *, drops: str = "—"):
    """A tokenizer that splits at white space, and drops a word."""
    made = tokenizers.Tokenizer(model)
    made.normalizer = tokenizers.normalizers.Replace(drops, " ")
    made.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made)


def whole_words(*words: str, **settings):
    known = {word: token for token, word in enumerate(words)}
    return tokenizers.models.WordLevel(known, **settings)


@pytest.mark.parametrize(("kind", "settings"), [("gpt2", GPT2), ("llama", LLAMA)])
def test_a_model_with_tokens_of_its_own_is_read_by_its_words(
    tiny: Corpus, tmp_path: Path, kind: str, settings: dict
) -> None:
    """Its tokens have another order, after three that are not words."""
    words, said = vocabulary(tiny), np.array([[3, 1, 4, 1], [5, 9, 2, 0]])
    own = ["<a>", "<b>", "<c>", *reversed(words[1:])]
    save(tmp_path, reading(whole_words(*own)), kind, **settings, initializer_range=0.5)
    asked = np.array([[0, 1, 1, 0], [0, 0, 0, 0]], bool)
    found = np.exp(of_pretrained(tiny, tmp_path).scores(said, asked))

    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    with torch.no_grad():
        given = torch.tensor([[own.index(words[token]) for token in said[0]]])
        p = model(given).logits[0, 1:3].softmax(-1).numpy()
    wanted = p[:, [own.index(word) for word in words[1:]]]
    np.testing.assert_allclose(found[0, 1:3, 1:], wanted, rtol=1e-4)
    np.testing.assert_allclose(found[0, 1:3, 0], p[:, :3].sum(-1), rtol=1e-4)


def unreadable(corpus: Corpus, folder: Path, kind: str) -> None:
    words, tokenizer = vocabulary(corpus), word_tokenizer(corpus)
    letters = {letter: n for n, letter in enumerate(sorted(set("".join(words))))}
    if kind == "empty":
        (folder / "config.json").write_text("{}")
    elif kind == "splits":
        save(folder, reading(tokenizers.models.BPE(letters, [])), **GPT2)
    elif kind == "unknown":
        save(folder, reading(whole_words("?", *words[:9], unk_token="?")), **GPT2)
    elif kind == "dashes":
        save(folder, reading(whole_words(*words, "—"), drops="~"), **GPT2)
    elif kind == "small":
        save(folder, tokenizer, size=3, **GPT2)
    elif kind == "short":
        save(folder, tokenizer, n_positions=4, **GPT2)
    elif kind == "sees ahead":
        save(folder, tokenizer, "bert", initializer_range=0.5, **BERT)


@pytest.mark.parametrize(
    ("kind", "complaint"),
    [
        ("none", "no config.json; name a folder"),
        ("empty", "Unrecognized model"),
        ("splits", "tokenizer splits 'ada' into 3 tokens; make one token of each word"),
        ("unknown", "can't tell .* from .*; make one token of each word"),
        ("dashes", "keeps dashes or line breaks"),
        ("small", "tokens, the model 3"),
        ("short", "reads 4 tokens; documents of the corpus have 19"),
        ("sees ahead", "not causal"),
    ],
)
def test_what_cannot_be_read_is_refused_in_a_line(
    tiny: Corpus, tmp_path: Path, kind: str, complaint: str
) -> None:
    unreadable(tiny, tmp_path, kind)
    with pytest.raises(ValueError, match=complaint) as refused:
        of_pretrained(tiny, tmp_path)
    assert str(refused.value).startswith(f"{tmp_path}: ")
    assert "\n" not in str(refused.value)


@pytest.mark.slow
def test_a_gpt2_reads_as_our_transformer_at_the_same_excess(setup: Setup, tmp_path: Path) -> None:
    """GPT-2 is pretrained on exported documents, with the code on the documentation page."""
    corpus, space = setup.corpus, {}
    exec(re.findall(r"```py\n(.*?)```", PAGE.read_text(), re.S)[0], space)
    texts = [each["text"] for each in excerpts.documents(corpus, 16384, None, 1000)]
    space["pretrain"](tmp_path, corpus, texts, steps=1200, width=16, heads=2, rate=2e-2)
    gpt2 = of_pretrained(corpus, tmp_path)

    documents = docs.sample(setup.world, jax.random.key(1000), 1024)
    tokens = np.asarray(documents.tokens)

    def excess(logits) -> float:
        return float(over(setup.world, documents, jnp.asarray(logits))["answers"])

    state = begin(setup, Pretrain(), setup.init(1000))
    ((state, _),) = segments(setup, Pretrain(), state, train_key(1000, 0), [200])
    theirs = excess(gpt2.scores(tokens, np.ones(tokens.shape, bool)))
    ours = excess(setup.network.apply(state.params, documents.tokens)[0])
    assert theirs == pytest.approx(ours, rel=0.25)
    assert theirs < 0.006

    few = Ladder(fit=1024, held_out=512, score=512)
    there, here = (
        ladder(corpus, policy, settings=few)
        for policy in (gpt2, ModelPolicy(state.params, setup.network))
    )
    for family in FAMILIES:
        assert there["exact"][family] == pytest.approx(here["exact"][family], abs=0.1), family
    assert there["outside"] < 0.01
