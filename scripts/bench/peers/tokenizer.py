"""Encodes texts with Hugging Face's tokenizers, one thread: tokenizer.py TOKENIZER.json TEXTS.json

TEXTS.json is a list of texts. Prints one line of JSON: MB per CPU second, and how many ids.
"""
import json
import os
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
from tokenizers import Tokenizer

tokenizer = Tokenizer.from_file(sys.argv[1])
texts = json.load(open(sys.argv[2]))
megabytes = sum(len(text.encode()) for text in texts) / 1e6
start = time.process_time()
ids = sum(len(tokenizer.encode(text, add_special_tokens=False).ids) for text in texts)
print(json.dumps({"cpuRate": megabytes / (time.process_time() - start), "ids": ids}))
