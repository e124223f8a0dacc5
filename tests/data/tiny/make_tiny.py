"""Writes the folders qwen3 and phi3: random checkpoints, and reference values that transformers computes in float64.

    pip install torch transformers safetensors numpy && python make_tiny.py

README.md says what the fixtures hold.
"""
import json
import os
import shutil

import torch
from safetensors.torch import save_file
from transformers import Phi3Config, Phi3ForCausalLM, Qwen3Config, Qwen3ForCausalLM

HERE = os.path.dirname(os.path.abspath(__file__))
V = 512
COMMON = dict(vocab_size=V, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
              num_key_value_heads=2, max_position_embeddings=128, bos_token_id=1, eos_token_id=2, pad_token_id=0,
              attn_implementation="eager")


def logits_of(model, ids, mask):
    """Row by row without its padding; zero there."""
    rows = []
    for row, present in zip(ids, mask.bool()):
        logits = torch.zeros(len(row), V, dtype=torch.float64)
        rows.append(logits.index_put((present.nonzero()[:, 0],), model(input_ids=row[present][None]).logits[0]))
    return torch.stack(rows)


def log_probs(logits, ids):
    return torch.log_softmax(logits[:, :-1], -1).gather(-1, ids[:, 1:, None])[..., 0]


def padded(side, generator):
    ids = torch.zeros(3, 14, dtype=torch.long)
    mask = torch.zeros(3, 14, dtype=torch.long)
    labels = torch.full((3, 14), -100)
    for row, length in enumerate((14, 9, 5)):
        at = slice(0, length) if side == "r" else slice(14 - length, 14)
        ids[row, at] = torch.randint(3, V, (length,), generator=generator)
        mask[row, at] = 1
        labels[row, at] = ids[row, at]
        if side == "l" and length < 14:
            labels[row, 14 - length] = -100
    return ids, mask, labels


def loss_of(logits, labels):
    return torch.nn.functional.cross_entropy(logits[:, :-1].reshape(-1, V), labels[:, 1:].reshape(-1), ignore_index=-100)


def generate(model, ids, mask, out):
    tokens, chosen, margins = [], [], []
    for _ in range(16):
        logits = logits_of(model, ids, mask)[:, -1]
        top = logits.topk(2, -1)
        tokens.append(top.indices[:, 0])
        margins.append(top.values[:, 0] - top.values[:, 1])
        chosen.append(torch.log_softmax(logits, -1).gather(-1, tokens[-1][:, None])[:, 0])
        ids = torch.cat([ids, tokens[-1][:, None]], 1)
        mask = torch.cat([mask, torch.ones(len(mask), 1, dtype=torch.long)], 1)
    out["gen.new_tokens"] = torch.stack(tokens, 1)
    out["gen.logprobs"] = torch.stack(chosen, 1)
    out["gen.margin"] = torch.stack(margins, 1)
    assert out["gen.margin"].min() > 0.02, out["gen.margin"].min()


def make(name, model, seed, spread=0.2):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, p in model.named_parameters():
            scale = spread if p.dim() == 2 else 0.1
            p.copy_((1.0 if p.dim() == 1 else 0.0) + scale * torch.randn(p.shape, generator=generator))
    folder = os.path.join(HERE, name)
    os.makedirs(folder, exist_ok=True)
    state = {k: v.contiguous() for k, v in model.state_dict().items()}
    if model.config.tie_word_embeddings:
        state.pop("lm_head.weight")
    save_file(state, os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})
    model = model.double()
    out = {}
    ids = torch.randint(3, V, (2, 12), generator=generator)
    out["plain.input_ids"], out["plain.logits"] = ids, model(input_ids=ids).logits
    out["plain.logprobs"] = log_probs(out["plain.logits"], ids)
    out["plain.loss"] = -out["plain.logprobs"].mean()
    kept = {}
    hooks = [layer.register_forward_hook(lambda m, i, o, n=n: kept.__setitem__(n, o[0] if isinstance(o, tuple) else o))
             for n, layer in enumerate(model.model.layers)]
    model(input_ids=ids)
    for hook in hooks:
        hook.remove()
    out["plain.hidden.0"] = model.model.embed_tokens(ids)
    out["plain.hidden.1"], out["plain.hidden.2"] = kept[0], kept[1]
    out["plain.last_hidden"] = model.model.norm(kept[1])
    for side in "rl":
        ids, mask, labels = padded(side, generator)
        logits = logits_of(model, ids, mask)
        loss = loss_of(logits, labels)
        prefix = f"{side}pad."
        out |= {prefix + "input_ids": ids, prefix + "attention_mask": mask, prefix + "labels": labels,
                prefix + "logits": logits, prefix + "loss": loss}
    model.zero_grad()
    loss.backward()
    square = 0
    for key, p in model.named_parameters():
        out[f"lpad.grad.{key}"] = p.grad
        square = square + (p.grad ** 2).sum()
    out["lpad.grad_norm"] = square.sqrt()
    ids, mask = torch.zeros(2, 8, dtype=torch.long), torch.zeros(2, 8, dtype=torch.long)
    for row, length in enumerate((8, 5)):
        ids[row, 8 - length:] = torch.randint(3, V, (length,), generator=generator)
        mask[row, 8 - length:] = 1
    out["gen.input_ids"], out["gen.attention_mask"] = ids, mask
    with torch.no_grad():
        generate(model, ids, mask, out)
    tensors = {}
    for key, value in out.items():
        value = value.detach()
        wide = value.dim() == 0 or value.dtype == torch.long
        tensors[key] = (value if wide else value.float()).contiguous()
    save_file(tensors, os.path.join(folder, "fixtures.safetensors"))


def write_config(name, config):
    with open(os.path.join(HERE, name, "config.json"), "w") as f:
        json.dump(config, f, indent=1)
        f.write("\n")
    for file in ("vocab.json", "merges.txt", "tokenizer_config.json"):
        shutil.copy(os.path.join(HERE, "qwen2", file), os.path.join(HERE, name, file))


PUBLISHED = dict(vocab_size=V, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
                 num_key_value_heads=2, max_position_embeddings=128, hidden_act="silu", initializer_range=0.02,
                 attention_bias=False, attention_dropout=0.0, use_cache=True, torch_dtype="float32", rope_scaling=None,
                 bos_token_id=1, eos_token_id=2, pad_token_id=0)

make("qwen3", Qwen3ForCausalLM(Qwen3Config(**COMMON, head_dim=24, rms_norm_eps=1e-6, tie_word_embeddings=True,
                                           rope_parameters={"rope_type": "default", "rope_theta": 1000000.0})), 3)
write_config("qwen3", {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", **PUBLISHED, "head_dim": 24,
                       "rms_norm_eps": 1e-6, "rope_theta": 1000000, "tie_word_embeddings": True, "sliding_window": None,
                       "use_sliding_window": False, "max_window_layers": 2})
make("phi3", Phi3ForCausalLM(Phi3Config(**COMMON, rms_norm_eps=1e-5, tie_word_embeddings=False,
                                        rope_parameters={"rope_type": "default", "rope_theta": 10000.0})), 8, 0.15)
write_config("phi3", {"architectures": ["Phi3ForCausalLM"], "model_type": "phi3", **PUBLISHED, "rms_norm_eps": 1e-5,
                      "rope_theta": 10000.0, "tie_word_embeddings": False, "sliding_window": None, "resid_pdrop": 0.0,
                      "embd_pdrop": 0.0, "original_max_position_embeddings": 128})
