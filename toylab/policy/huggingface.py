"""Hugging Face models as policies: causal language models with a token for each word.

Needs torch and transformers, the extra `hf`. Models are read from a folder; nothing is downloaded.
"""

import os
from pathlib import Path as File
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from toylab.policy.outside import Outside, Tokens
from toylab.world import tables
from toylab.world.grammar import vocabulary
from toylab.world.schema import Corpus
from toylab.world.text import DASH

PART = 64  # documents at a time


def of_pretrained(corpus: Corpus, folder: str | File) -> Outside:
    """The policy of a causal language model, saved with its tokenizer by `save_pretrained`.

    The tokenizer must make one token of each word of the corpus, as that of `word_tokenizer` does.
    All other tokens count as outside the grammar. Raises `ImportError` if torch or transformers is
    missing, and `ValueError` if the folder has no such model.
    """
    model, ids = _load(corpus, File(folder))
    others = np.setdiff1d(np.arange(model.config.vocab_size), ids[1:])

    def scores(tokens: Tokens, asked: Bool[np.ndarray, "B L"]) -> Float[np.ndarray, "B L V"]:
        out = np.zeros((*tokens.shape, len(ids)), np.float32)
        rows = np.flatnonzero(asked.any(1))
        for first in range(0, len(rows), PART):
            part = rows[first : first + PART]
            length = np.flatnonzero(asked[part].any(0))[-1] + 1
            logp = _log_probabilities(model, ids[tokens[part, :length]])
            out[part, :length] = logp[..., ids]
            out[part, :length, 0] = logp[..., others].logsumexp(-1)  # other tokens count as padding
        return out

    return Outside(scores)


def word_tokenizer(corpus: Corpus) -> Any:
    """A `PreTrainedTokenizerFast` with a token for each word of the corpus, and nothing else.

    Token 0 is padding. The tokenizer skips the dashes and line breaks of exported documents, and
    raises an error at an unknown word.
    """
    _, transformers = _installed()
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    words = vocabulary(corpus)
    made = Tokenizer(models.WordLevel({word: token for token, word in enumerate(words)}))
    made.normalizer = normalizers.Replace(DASH, " ")
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, pad_token=words[0])


def _installed() -> tuple[Any, Any]:
    try:
        import torch
        import transformers
    except ImportError as error:
        raise ImportError(
            f"{error}: models of Hugging Face need the extra hf: pip install 'toylab[hf]' "
            "(in a checkout: .venv/bin/python -m pip install '.[hf]')"
        ) from error
    return torch, transformers


def _log_probabilities(model: Any, tokens: Int[np.ndarray, "B L"]) -> Any:
    """log-probabilities of the next token, as a tensor [B, L, all of the model's tokens]."""
    torch, _ = _installed()
    given = torch.from_numpy(tokens)
    with torch.inference_mode():
        found = model(input_ids=given, attention_mask=torch.ones_like(given), use_cache=False)
        return found.logits.float().log_softmax(-1)


def _load(corpus: Corpus, folder: File) -> tuple[Any, Int[np.ndarray, " V"]]:
    """The model, and its token for each word of the corpus (0 for padding)."""
    _, transformers = _installed()
    if not os.path.isfile(folder / "config.json"):  # False, never an error, whatever the name
        raise ValueError(f"{folder}: no config.json; name a folder that save_pretrained wrote")
    here = {"local_files_only": True, "trust_remote_code": False}  # runs no code from there
    try:
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, **here)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **here)
    except Exception as error:  # of many types, some with messages of many lines
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(f"{folder}: {reason}") from error
    model.eval().float()
    ids = _tokens(tokenizer, vocabulary(corpus), folder)
    known, fits = model.config.vocab_size, tables.build(corpus).grammar.length
    if ids.max() >= known:
        raise ValueError(f"{folder}: the tokenizer has {ids.max() + 1} tokens, the model {known}")
    most = getattr(model.config, "max_position_embeddings", None) or fits
    if most < fits:
        raise ValueError(f"{folder}: reads {most} tokens; documents of the corpus have {fits}")
    first, second = (_log_probabilities(model, np.array([[ids[1], end]])) for end in ids[1:3])
    if not first[0, 0].allclose(second[0, 0], atol=1e-3):
        raise ValueError(f"{folder}: not causal; what stands after a word changes its prediction")
    return model, ids


def _tokens(tokenizer: Any, words: tuple[str, ...], folder: File) -> Int[np.ndarray, " V"]:
    fix = "make one token of each word, as word_tokenizer(corpus) does, and train with that"

    def read(text: str) -> list[int]:
        try:
            return tokenizer(text)["input_ids"]
        except Exception:  # an unknown word, and the tokenizer has no token for unknown words
            return []

    found: dict[int, str] = {}
    for word in words[1:]:
        said = read(word)
        if len(said) != 1:
            raise ValueError(f"{folder}: tokenizer splits {word!r} into {len(said)} tokens; {fix}")
        if said[0] in found:
            same = found[said[0]]
            raise ValueError(f"{folder}: its tokenizer can't tell {word!r} from {same!r}; {fix}")
        found[said[0]] = word
    text = f" {DASH} ".join(words[1:]) + "\n" + "\n".join(words[1:])
    if read(text) != [*found, *found]:
        raise ValueError(f"{folder}: its tokenizer keeps dashes or line breaks of documents; {fix}")
    return np.array([0, *found])
