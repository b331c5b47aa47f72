"""The baseline: a GPT in PyTorch with the parts of nanoGPT (Karpathy, 2022).

LayerNorm and linear maps without biases, GELU, tied embeddings, fused causal attention, residual
projections initialised smaller with depth; AdamW (0.9, 0.95) with weight decay 0.1 on matrices, the
norm of the gradient clipped at 1, a warm-up and a cosine down to a tenth.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from toylab.policy.transformer import Transformer

torch.set_num_threads(1)  # as XLA's are, see toylab/__init__.py

Past = tuple[Tensor, Tensor]


class Block(nn.Module):
    """Attention and MLP, each after a LayerNorm."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.before_attention = nn.LayerNorm(width, bias=False)
        self.query_key_value = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.before_mlp = nn.LayerNorm(width, bias=False)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)

    def forward(self, x: Tensor, past: Past | None = None, at: int = 0) -> Tensor:
        batch, length, width = x.shape
        parts = self.query_key_value(self.before_attention(x)).split(width, 2)
        q, k, v = (part.view(batch, length, self.heads, -1).transpose(1, 2) for part in parts)
        if past is None:
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:  # one word, after those with cached keys and values
            past[0][:, :, at], past[1][:, :, at] = k[:, :, 0], v[:, :, 0]
            keys, values = (each[:, :, : at + 1] for each in past)
            mixed = F.scaled_dot_product_attention(q, keys, values)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        return x + self.down(F.gelu(self.up(self.before_mlp(x))))


class Gpt(nn.Module):
    """Tokens [B, L] to next-token logits [B, L, V]."""

    def __init__(self, vocabulary: int, length: int, width: int, layers: int, heads: int):
        super().__init__()
        self.heads, self.length = heads, length
        self.embedding = nn.Embedding(vocabulary, width)
        self.position = nn.Embedding(length, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width, bias=False)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                deep = name.endswith(("out.weight", "down.weight"))
                nn.init.normal_(parameter, std=0.02 / (math.sqrt(2 * layers) if deep else 1.0))

    def forward(self, tokens: Tensor, pasts: list[Past] | None = None, at: int = 0) -> Tensor:
        places = torch.arange(at, at + tokens.shape[1], device=tokens.device)
        x = self.embedding(tokens) + self.position(places)
        for i, block in enumerate(self.blocks):
            x = block(x, pasts[i] if pasts else None, at)
        return F.linear(self.norm(x), self.embedding.weight)

    @torch.no_grad()
    def generate(self, first: Tensor) -> Tensor:
        """Documents [B, L] that begin with the tokens [B], with a cache of keys and values."""
        shape = (len(first), self.heads, self.length, self.embedding.embedding_dim // self.heads)
        pasts = [(torch.zeros(shape), torch.zeros(shape)) for _ in self.blocks]
        tokens = [first]
        for at in range(self.length - 1):
            logits = self(tokens[-1][:, None], pasts, at)[:, 0]
            tokens.append(torch.multinomial(logits.softmax(-1), 1)[:, 0])
        return torch.stack(tokens, 1)


def seeded(seed: int, like: Transformer) -> Gpt:
    """A fresh model of the same size as toylab's, the same for the same seed."""
    torch.manual_seed(seed)
    size = like.config
    return Gpt(like.vocabulary, like.length, size.width, size.layers, size.heads)


class Training:
    """A model and its AdamW over a known number of steps."""

    def __init__(self, model: Gpt, peak: float, steps: int, *, compiled: bool = False):
        self.model, self.peak, self.steps, self.step = model, peak, steps, 0
        self.run = torch.compile(model) if compiled else model
        matrices = [p for p in model.parameters() if p.dim() >= 2]
        others = [p for p in model.parameters() if p.dim() < 2]
        groups = [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0}]
        self.optimiser = torch.optim.AdamW(groups, lr=peak, betas=(0.9, 0.95), fused=True)

    def rate(self) -> float:
        """Linear warm-up in a twentieth of the steps, then half a cosine to a tenth of the peak."""
        warmup = max(self.steps // 20, 1)
        if self.step < warmup:
            return self.peak * (self.step + 1) / warmup
        through = (self.step - warmup) / max(self.steps - warmup, 1)
        return self.peak * (0.1 + 0.45 * (1 + math.cos(math.pi * through)))

    def advance(self, tokens: Tensor, targets: Tensor) -> None:
        """One step on documents [B, L]; a target of -1 does not count."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate()
        logits = self.run(tokens)
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-1)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.step += 1
