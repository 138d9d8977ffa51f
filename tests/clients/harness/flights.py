"""Prepares the flights: flights.py PARQUET ROWS LINES SUMMARY.

Writes the first ROWS flights as lines of key, tab and JSON, and what they add up to by origin airport: flights, sums
of delay and distance, and a SHA-256 over the values in their order. Runs inside the venv that has pyarrow.
"""

import hashlib
import json
import os
import sys

import pyarrow.parquet

BATCH_ROWS = 50_000


def main(parquet, rows, lines, summary):
    left = int(rows)
    airports = {}
    with open(lines + ".part", "w", encoding="ascii") as out:
        for batch in pyarrow.parquet.ParquetFile(parquet).iter_batches(batch_size=BATCH_ROWS):
            batch = batch.slice(0, left)
            left -= batch.num_rows
            columns = batch.to_pydict()
            for date, delay, distance, origin, destination in zip(
                *(columns[name] for name in ("date", "delay", "distance", "origin", "destination"))
            ):
                value = (
                    f'{{"date":"{date:%Y/%m/%d %H:%M}","delay":{delay},"distance":{distance},'
                    f'"origin":"{origin}","destination":"{destination}"}}'
                )
                out.write(f"{origin}\t{value}\n")
                airport = airports.get(origin)
                if airport is None:
                    airport = airports[origin] = [0, 0, 0, hashlib.sha256()]
                airport[0] += 1
                airport[1] += delay
                airport[2] += distance
                airport[3].update(value.encode("ascii"))
            if left == 0:
                break
    if left:
        sys.exit(f"{parquet} has {left} flights less than {rows}")
    fields = ("flights", "delay", "distance", "hash")
    with open(summary, "w", encoding="ascii") as out:
        json.dump({k: dict(zip(fields, (*v[:3], v[3].hexdigest()))) for k, v in airports.items()}, out)
    os.rename(lines + ".part", lines)


if __name__ == "__main__":
    main(*sys.argv[1:])
