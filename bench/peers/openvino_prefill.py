#!/usr/bin/env python3
"""Time to first token of OpenVINO GenAI with paged attention: openvino_prefill.py MODEL.gguf TOKENS [RUNS] [dense|xattention]

Prints one line of JSON with the milliseconds of each run. Random token ids; the pipeline answers once before it is timed.
"""
import json
import random
import sys
import time

import numpy
import openvino
import openvino_genai


def main():
    model, tokens, runs = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 1
    scheduler = openvino_genai.SchedulerConfig()
    scheduler.enable_prefix_caching = False
    scheduler.max_num_batched_tokens = 1 << 20
    scheduler.cache_size = 2
    if sys.argv[4:] == ["xattention"]:
        scheduler.use_sparse_attention = True
        scheduler.sparse_attention_config = openvino_genai.SparseAttentionConfig(mode=openvino_genai.SparseAttentionMode.XATTENTION)
    pipeline = openvino_genai.LLMPipeline(model, "CPU", scheduler_config=scheduler)
    config = openvino_genai.GenerationConfig(max_new_tokens=1, do_sample=False)
    generator = random.Random(tokens)

    def once(count):
        ids = numpy.array([[generator.randrange(1000, 40000) for _ in range(count)]], dtype=numpy.int64)
        inputs = openvino_genai.TokenizedInputs(openvino.Tensor(ids), openvino.Tensor(numpy.ones_like(ids)))
        start = time.perf_counter()
        pipeline.generate(inputs, config)
        return (time.perf_counter() - start) * 1000

    once(64)
    print(json.dumps({"ttft_ms": [once(tokens) for _ in range(runs)], "version": openvino_genai.__version__}))


if __name__ == "__main__":
    main()
