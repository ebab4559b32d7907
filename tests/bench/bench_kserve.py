#!/usr/bin/env python3
"""Round trips of inference on another spoton, without the inference: the fake engine's takes a millisecond.

    ENGINE=fake HTTP_PORT=3900 spoton serve --share-engine &
    tests/bench/bench_kserve.py http://127.0.0.1:3900/v2/models/person [REQUESTS]

Prints the percentiles of one request at a time on one connection, and the bytes of a request and of a reply."""

import http.client
import json
import sys
import time
from urllib.parse import urlparse


def main():
    url = urlparse(sys.argv[1])
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 500
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=30)
    connection.request("GET", url.path)
    model = json.loads(connection.getresponse().read())
    tensor = model["inputs"][0]
    size = 1
    for side in tensor["shape"]:
        size *= max(side, 1)
    shape = [max(side, 1) for side in tensor["shape"]]
    head = json.dumps({
        "inputs": [{"name": tensor["name"], "shape": shape, "datatype": tensor["datatype"],
                    "parameters": {"binary_data_size": size}}],
        "outputs": [{"name": output["name"], "parameters": {"binary_data": True}}
                    for output in model["outputs"]]}).encode()
    body = head + bytes(size)
    times, received = [], 0
    for _ in range(count):
        begin = time.monotonic()
        connection.request("POST", url.path + "/infer", body, {"Inference-Header-Content-Length": str(len(head))})
        reply = connection.getresponse()
        received = len(reply.read())
        if reply.status != 200:
            sys.exit(f"status {reply.status}")
        times.append((time.monotonic() - begin) * 1000)
    times.sort()
    print(f"{shape} {tensor['datatype']}: request {len(body)} bytes, reply {received} bytes")
    print("round trip ms: " + ", ".join(f"p{p} {times[min(count - 1, count * p // 100)]:.2f}" for p in (50, 95, 99)))


if __name__ == "__main__":
    main()
