"""Trains the bench model with torch and transformers: train.py CONFIG f32|bf16 STEPS ROWS LENGTH MICRO

Every step is ROWS random rows of LENGTH tokens, MICRO at a time, with gradients clipped and AdamW. bf16
is torch's autocast over f32 weights. Prints one line of JSON: tokens/s of the median step, peak bytes.
"""
import json
import os
import resource
import statistics
import sys
import time

import torch
from transformers import LlamaConfig, LlamaForCausalLM

path, dtype = sys.argv[1:3]
steps, rows, length, micro = map(int, sys.argv[3:])
torch.set_num_threads(len(os.sched_getaffinity(0)))
torch.manual_seed(0)
config = LlamaConfig(**{**json.load(open(path)), "max_position_embeddings": length, "use_cache": False})
model = LlamaForCausalLM(config).train()
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
seconds = []
for step in range(steps):  # the first one is not counted
    start = time.perf_counter()
    for _ in range(rows // micro):
        ids = torch.randint(config.vocab_size, (micro, length))
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bf16"):
            loss = model(input_ids=ids, labels=ids).loss
        (loss * micro / rows).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    if step > 0:
        seconds.append(time.perf_counter() - start)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({"tokensPerSecond": rows * length / statistics.median(seconds), "peakBytes": peak}))
