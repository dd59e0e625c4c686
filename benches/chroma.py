"""ChromaDB beside `recall.rs`: the same vectors, the same questions, the same figures. Prints one JSON object.

    cargo bench -p memory --bench recall -- 100000 write=FOLDER
    python3 -m venv V && V/bin/pip install chromadb==1.5.9 numpy && V/bin/python benches/chroma.py FOLDER

As ChromaDB comes: HNSW with its defaults, cosine, no embedding function, no documents. The searches run in a process of their own.
"""

import json
import os
import subprocess
import sys
import tempfile
import time

DIMENSION, BATCH, ROUNDS, FOUND = 384, 1000, 5, 10


def resident():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS:"))


def load(folder, name):
    import numpy

    return numpy.fromfile(os.path.join(folder, name), dtype="<f4").reshape(-1, DIMENSION)


def collection(home):
    import chromadb

    client = chromadb.PersistentClient(path=home, settings=chromadb.Settings(anonymized_telemetry=False))
    return client.get_or_create_collection("notes", metadata={"hnsw:space": "cosine"}, embedding_function=None)


def add(folder, home):
    vectors, notes = load(folder, "vectors.f32"), collection(home)
    started = time.perf_counter()
    for start in range(0, len(vectors), BATCH):
        end = min(start + BATCH, len(vectors))
        notes.add(ids=[str(number) for number in range(start, end)], embeddings=vectors[start:end])
    return {"notes": len(vectors), "inserts_per_second": round(len(vectors) / (time.perf_counter() - started))}


def search(folder, home):
    import chromadb  # noqa: F401  Its code is not counted as memory added.

    queries = load(folder, "queries.f32")
    with open(os.path.join(folder, "truth.json")) as file:
        truth = json.load(file)
    before, started = resident(), time.perf_counter()
    notes = collection(home)
    ask = lambda query: notes.query(query_embeddings=query[None, :], n_results=FOUND, include=["distances"])["ids"][0]
    ask(queries[0])
    first = time.perf_counter() - started
    hits = sum(len(set(ask(query)) & {str(number) for number in exact}) for query, exact in zip(queries, truth))
    rounds = []
    for _ in range(ROUNDS):
        times = []
        for query in queries:
            started = time.perf_counter()
            ask(query)
            times.append(time.perf_counter() - started)
        rounds.append(sorted(times))
    best = min(rounds, key=lambda times: times[len(times) * 99 // 100])
    at = lambda share: round(best[(len(best) - 1) * share // 100] * 1e3, 2)
    return {
        "first_search_ms": round(first * 1e3, 1),
        "search_by_vector_ms": {"p50": at(50), "p99": at(99)},
        "memory_added_mb": round((resident() - before) / 1e6, 1),
        "recall_at_10": round(hits / (len(queries) * FOUND), 3),
    }


def main():
    if len(sys.argv) == 4:
        step, folder, home = sys.argv[1:]
        print(json.dumps({"add": add, "search": search}[step](folder, home)))
        return
    folder, report = sys.argv[1], {}
    with tempfile.TemporaryDirectory() as home:
        for step in ("add", "search"):
            report |= json.loads(subprocess.check_output([sys.executable, __file__, step, folder, home]))
        files = [os.path.join(path, name) for path, _, names in os.walk(home) for name in names]
        report["file_mb"] = round(sum(map(os.path.getsize, files)) / 1e6, 1)
    print(json.dumps(report, indent=2))


main()
