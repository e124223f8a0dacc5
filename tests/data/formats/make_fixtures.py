#!/usr/bin/env python3
"""Writes this folder's fixtures with the formats' own Python implementations, for the tests of src/io:

  pip install numpy safetensors gguf
  python make_fixtures.py

  mixed.safetensors     every element type, by the reference library (safetensors)
  torch_pN.bin          state dictionaries as torch.save lays them out, by Python's own pickler in protocol N (2..5),
                        with stand-ins for torch's classes: contiguous, transposed, offset, shared, parameter, scalar
                        and empty tensors, `_metadata` on the dictionary
  torch_expected.safetensors   their values
  blocks.gguf           one tensor of each type, quantised by the reference library (gguf)
  blocks_expected.safetensors  dequantised by it
  llama.gguf            a llama model as llama.cpp's converter writes it (query and key rows permuted), Q8_0
  llama_expected.safetensors   its tensors under Hugging Face's names, as that library dequantises them
"""
import collections
import io
import pickle
import sys
import types
import zipfile

import gguf
import numpy as np
from safetensors.numpy import save_file

rng = np.random.default_rng(7)


def mixed():
    tensors = {}
    for i, t in enumerate(["bool", "uint8", "int8", "int16", "uint16", "float16", "int32", "uint32", "float32",
                           "float64", "int64", "uint64"]):
        tensors[f"tensor.{t}"] = rng.integers(0, 2 if t == "bool" else 100, (i % 3 + 1, 3)).astype(t)
    tensors["a scalar"] = np.array(2.5, np.float32)
    tensors["empty"] = np.zeros((0, 4), np.float32)
    tensors["naïve \"quoted\" \\ name"] = np.arange(5, dtype=np.float32)
    save_file(tensors, "mixed.safetensors", metadata={"format": "pt"})


# --- torch.save without torch: classes of the same names whose pickles are the same ---

def module(name):
    sys.modules[name] = m = types.ModuleType(name)
    return m


torch, torch_utils = module("torch"), module("torch._utils")
torch._utils = torch_utils


def stand_in(mod, name, what=type):
    made = type(name, (), {}) if what is type else what
    made.__module__, made.__name__, made.__qualname__ = mod.__name__, name, name
    setattr(mod, name, made)
    return made




rebuild_tensor = stand_in(torch_utils, "_rebuild_tensor_v2", lambda *a: None)
rebuild_parameter = stand_in(torch_utils, "_rebuild_parameter", lambda *a: None)
storage_class = {t: stand_in(torch, n) for t, n in (("float32", "FloatStorage"), ("float16", "HalfStorage"),
                                                     ("int64", "LongStorage"), ("bool", "BoolStorage"))}


class Storage:
    def __init__(self, key, values):
        self.key, self.values = key, values


class Tensor:
    def __init__(self, storage, offset, shape, stride):
        self.storage, self.offset, self.shape, self.stride = storage, offset, shape, stride

    def __reduce__(self):
        return rebuild_tensor, (self.storage, self.offset, self.shape, self.stride, False, collections.OrderedDict())

    def value(self):
        v = self.storage.values
        return np.lib.stride_tricks.as_strided(v[self.offset:], self.shape, [s * v.itemsize for s in self.stride]).copy()


class Parameter:
    def __init__(self, tensor):
        self.tensor = tensor

    def __reduce__(self):
        return rebuild_parameter, (self.tensor, True, collections.OrderedDict())

    def value(self):
        return self.tensor.value()


class Pickler(pickle.Pickler):
    def persistent_id(self, o):
        if isinstance(o, Storage):
            return ("storage", storage_class[o.values.dtype.name], o.key, "cpu", len(o.values))
        return None


def state_dict():
    def normal(n):
        return rng.standard_normal(n).astype(np.float32)
    big, half = Storage("0", normal(24)), Storage("1", normal(6).astype(np.float16))
    long, flags = Storage("2", np.arange(5, dtype=np.int64)), Storage("3", np.array([1, 0, 1], bool))
    return collections.OrderedDict([
        ("contiguous", Tensor(big, 0, (4, 6), (6, 1))), ("transposed", Tensor(big, 0, (6, 4), (1, 6))),
        ("offset", Tensor(big, 12, (2, 6), (6, 1))), ("column", Tensor(big, 1, (4, 1), (6, 1))),
        ("cube", Tensor(big, 0, (3, 2, 4), (4, 12, 1))), ("half", Parameter(Tensor(half, 0, (2, 3), (3, 1)))),
        ("long", Tensor(long, 0, (5,), (1,))), ("flags", Tensor(flags, 0, (3,), (1,))),
        ("scalar", Tensor(big, 5, (), ())), ("empty", Tensor(long, 0, (0, 3), (3, 1)))])


def torch_files():
    tensors = state_dict()
    expected = {k: v.value() for k, v in tensors.items()}
    tensors._metadata = collections.OrderedDict([("", {"version": 1}), ("layer", {"version": 2})])
    for protocol in (2, 3, 4, 5):
        out = io.BytesIO()
        Pickler(out, protocol).dump(tensors)
        with zipfile.ZipFile(f"torch_p{protocol}.bin", "w", zipfile.ZIP_STORED) as z:
            def add(name, data):
                # a fixed date; protocol 5's archive also has zip64 sizes in its local headers
                with z.open(zipfile.ZipInfo(f"archive/{name}"), "w", force_zip64=protocol == 5) as f:
                    f.write(data)
            add("data.pkl", out.getvalue())
            add("byteorder", b"little")
            seen = {}
            for t in tensors.values():
                s = getattr(t, "tensor", t).storage
                seen[s.key] = s.values
            for key, values in seen.items():
                add(f"data/{key}", values.tobytes())
            add("version", b"3\n")
    save_file(expected, "torch_expected.safetensors")


def quantise(x, kind):
    return gguf.quants.quantize(x, kind), gguf.quants.dequantize(gguf.quants.quantize(x, kind), kind).astype(np.float32)


def blocks():
    w = gguf.GGUFWriter("blocks.gguf", "none")
    w.add_uint8("test.u8", 200)
    w.add_int8("test.i8", -3)
    w.add_uint16("test.u16", 60000)
    w.add_int16("test.i16", -30000)
    w.add_uint32("test.u32", 4000000000)
    w.add_int32("test.i32", -2000000000)
    w.add_uint64("test.u64", 1 << 62)
    w.add_int64("test.i64", -(1 << 62))
    w.add_float32("test.f32", 0.5)
    w.add_float64("test.f64", 1e-300)
    w.add_bool("test.bool", True)
    w.add_string("test.text", "naïve")
    w.add_array("test.integers", [1, -2, 3])
    w.add_array("test.reals", [0.5, 0.25])
    w.add_array("test.texts", ["a", "", "bc"])
    kinds = gguf.GGMLQuantizationType
    expected = {}
    for kind in (kinds.F32, kinds.F16, kinds.BF16, kinds.Q8_0, kinds.Q4_0, kinds.Q4_1):
        x = (rng.standard_normal((3, 64)) * 4).astype(np.float32)
        stored, expected[kind.name] = quantise(x, kind)
        w.add_tensor(kind.name, stored, raw_dtype=kind)
    finish(w)
    save_file(expected, "blocks_expected.safetensors")


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def permute(w, heads):  # as llama.cpp's LlamaModel.permute
    return w.reshape(heads, 2, w.shape[0] // heads // 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


def byte_letters():  # GPT-2's printable stand-ins for bytes
    keep = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    return [chr(b) for b in keep] + [chr(256 + i) for i in range(256 - len(keep))]


def llama():
    d, f, heads, kv, k, layers = 32, 64, 4, 2, 8, 2
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"] + byte_letters() + ["Ġt", "he", "Ġthe", "<tool>"]
    w = gguf.GGUFWriter("llama.gguf", "llama")
    w.add_context_length(128)
    w.add_embedding_length(d)
    w.add_block_count(layers)
    w.add_feed_forward_length(f)
    w.add_head_count(heads)
    w.add_head_count_kv(kv)
    w.add_rope_freq_base(100000.0)
    w.add_rope_dimension_count(k)
    w.add_layer_norm_rms_eps(1e-5)
    w.add_vocab_size(len(tokens))
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("smollm")
    w.add_token_list(tokens)
    w.add_token_types([3] * 3 + [1] * (len(tokens) - 4) + [4])
    w.add_token_merges(["Ġ t", "h e", "Ġt he"])
    w.add_bos_token_id(1)
    w.add_eos_token_id(2)
    w.add_unk_token_id(0)
    w.add_pad_token_id(2)
    w.add_add_bos_token(False)
    w.add_chat_template("{{ messages }}")
    expected = {}
    kind = gguf.GGMLQuantizationType.Q8_0

    def add(name, hf, shape, heads_of_rows=0):
        x = rng.standard_normal(shape).astype(np.float32)
        stored = permute(x, heads_of_rows) if heads_of_rows else x
        if len(shape) == 1:
            w.add_tensor(name, stored)
            expected[hf] = x
            return
        # a block lies within a row, so quantising commutes with permuting rows
        w.add_tensor(name, gguf.quants.quantize(stored, kind), raw_dtype=kind)
        expected[hf] = quantise(x, kind)[1]

    add("token_embd.weight", "model.embed_tokens.weight", (len(tokens), d))
    for i in range(layers):
        b, h = f"blk.{i}.", f"model.layers.{i}."
        add(b + "attn_norm.weight", h + "input_layernorm.weight", (d,))
        add(b + "attn_q.weight", h + "self_attn.q_proj.weight", (heads * k, d), heads)
        add(b + "attn_k.weight", h + "self_attn.k_proj.weight", (kv * k, d), kv)
        add(b + "attn_v.weight", h + "self_attn.v_proj.weight", (kv * k, d))
        add(b + "attn_output.weight", h + "self_attn.o_proj.weight", (d, heads * k))
        add(b + "ffn_norm.weight", h + "post_attention_layernorm.weight", (d,))
        add(b + "ffn_gate.weight", h + "mlp.gate_proj.weight", (f, d))
        add(b + "ffn_up.weight", h + "mlp.up_proj.weight", (f, d))
        add(b + "ffn_down.weight", h + "mlp.down_proj.weight", (d, f))
    add("output_norm.weight", "model.norm.weight", (d,))
    finish(w)
    save_file(expected, "llama_expected.safetensors")


mixed()
torch_files()
blocks()
llama()
