"""Generates with torch and transformers, batch 1: generate.py CONFIG f32|bf16 PROMPT_TOKENS NEW_TOKENS

The same prompt and the same counting as scripts/bench/generate.ts. Prints one line of JSON: tokens/s of
the best of three prompts, and of the tokens after the last.
"""
import json
import os
import sys
import time

import torch
from transformers import LlamaConfig, LlamaForCausalLM

path, dtype = sys.argv[1:3]
prompt_tokens, new_tokens = map(int, sys.argv[3:])
torch.set_num_threads(len(os.sched_getaffinity(0)))
torch.manual_seed(0)
length = prompt_tokens + new_tokens + 1
config = LlamaConfig(**{**json.load(open(path)), "max_position_embeddings": length})
model = LlamaForCausalLM(config).eval().to(torch.bfloat16 if dtype == "bf16" else torch.float32)
prompt = torch.tensor([[t * 7919 % config.vocab_size for t in range(prompt_tokens)]])


def extend(ids, cache=None):
    out = model(ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
    return out.logits[:, -1].argmax(-1, keepdim=True), out.past_key_values


prefill = 0
with torch.inference_mode():
    for i in range(4):
        start = time.perf_counter()
        id, cache = extend(prompt)
        if i > 0:
            prefill = max(prefill, prompt_tokens / (time.perf_counter() - start))
    id, cache = extend(id, cache)
    start = time.perf_counter()
    for _ in range(new_tokens):
        id, cache = extend(id, cache)
    decode = new_tokens / (time.perf_counter() - start)
print(json.dumps({"prefill": prefill, "decode": decode}))
