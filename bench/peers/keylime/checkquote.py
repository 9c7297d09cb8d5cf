"""Verifies one quote again and again with Keylime's own function; prints the microseconds of each as JSON."""
import json
import logging
import sys
from time import perf_counter_ns

logging.disable(logging.CRITICAL)
from keylime.tpm.tpm_util import checkquote  # noqa: E402

folder, times = sys.argv[1], int(sys.argv[2])


def read(name):
    with open(f"{folder}/{name}", "rb") as file:
        return file.read()


arguments = (read("ak.pem"), read("nonce"), read("quote.sig"), read("quote.msg"), read("quote.pcr"), "sha256")
for _ in range(100):
    checkquote(*arguments)
took = []
for _ in range(times):
    began = perf_counter_ns()
    checkquote(*arguments)
    took.append((perf_counter_ns() - began) / 1000)
print(json.dumps(took))
