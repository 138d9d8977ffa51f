"""A run's records as text, JSON and a plot."""

import html
import json
import statistics


def middle(values):
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def summed(records):
    """One row for each workload, case and broker, in the order they were first seen: medians over the rounds."""
    rows = {}
    for record in records:
        rows.setdefault((record["workload"], record["case"], record["broker"]), []).append(record)
    out = []
    for (name, case, broker), taken in rows.items():
        good = [record for record in taken if "failed" not in record]
        row = {"workload": name, "case": case, "broker": broker, "rounds": len(good)}
        if not good:
            out.append({**row, "failed": taken[0]["failed"]})
            continue
        for field in sorted({field for record in good for field, value in record.items() if isinstance(value, (int, float))} - {"round"}):
            row[field] = middle([record.get(field) for record in good])
        for field in ("ack", "end_to_end"):
            found = [record[field] for record in good if field in record]
            if found:
                row[field] = {at: middle([one.get(at) for one in found]) for at in ("p50", "p99", "p999")}
        # How far the rounds lie apart: the machine's noise.
        rates = [record["per_s"] for record in good if "per_s" in record]
        if len(rates) > 1:
            row["spread"] = max(rates) / min(rates)
        out.append(row)
    return out


def number(value, digits=0):
    if value is None:
        return ""
    if isinstance(value, float) and abs(value) < 10 and digits == 0:
        digits = 2
    return f"{value:,.{digits}f}"


MORE = (
    ("join_ms", "all joined", "ms"), ("leave_ms", "one left", "ms"), ("start_ms", "start", "ms"), ("memory_mb", "memory", "MB"),
    ("own_memory_mb", "not of files", "MB"), ("cpu_ms_per_s", "CPU", "ms/s"), ("wake_ups_per_s", "wake-ups", "/s"), ("written_kb", "written", "kB"),
    ("kib_per_connection", "each", "KiB"), ("compact_s", "compacted in", "s"), ("freed_mb", "freed", "MB"), ("cleaning_cpu_s", "CPU of it", "s"),
    ("client_busy", "client's busiest thread busy", "of the time"), ("client_cpu_s_per_million", "client's CPU", "s/M"), ("us_per_op", "CPU", "µs each"), ("floor_us_per_op", "the kernel's floor", "µs"), ("at_hand_us_per_op", "with pages at hand", "µs"), ("at_hand_floor_us_per_op", "floor", "µs"), ("peak_memory_mb", "peak memory", "MB"), ("disk_mb", "disk", "MB"), ("spread", "spread", "x"),
)  # fmt: skip


def text(result):
    lines = [f"{key:12} {value}" for key, value in result["about"].items()]
    rows = summed(result["records"])
    by_case = {}
    for row in rows:
        by_case.setdefault((row["workload"], row["case"]), []).append(row)
    last = None
    for (name, case), some in by_case.items():
        if name != last:
            lines += ["", f"{name}  {result['titles'][name]}"]
            head = f"  {'':8}{'records/s':>12}{'MB/s':>8}{'CPU s/M':>10}{'ack p50':>11}{'p99':>11}{'p99.9':>11}{'e2e p50':>11}{'p99':>11}{'p99.9':>11} µs"
            if any("per_s" in row or "ack" in row or "end_to_end" in row for row in rows if row["workload"] == name):
                lines.append(head)
            last = name
        lines.append(f"  {case}")
        for row in some:
            if "failed" in row:
                lines.append(f"  {row['broker']:8}failed: {row['failed'].splitlines()[0][:160]}")
                continue
            line = f"  {row['broker']:8}"
            if "per_s" in row or "ack" in row or "end_to_end" in row:
                line = f"  {row['broker']:8}{number(row.get('per_s')):>12}{number(row.get('mb_per_s')):>8}{number(row.get('cpu_s_per_million'), 3):>10}"
                for field in ("ack", "end_to_end"):
                    found = row.get(field, {})
                    line += f"{number(found.get('p50')):>11}{number(found.get('p99')):>11}{number(found.get('p999')):>11}"
            more = [f"{label} {number(row[field])} {unit}" for field, label, unit in MORE if row.get(field) is not None]
            lines.append(f"{line}  {', '.join(more)}".rstrip())
    if checks := goals(rows):
        lines += ["", "Goals", *checks]
    return "\n".join(lines) + "\n"


# A client of which one thread hardly ever sleeps is not waiting for the broker.
CLIENT_BOUND = 0.9


def goals(rows):
    """The ratios that the project set itself, as far as this run measured them."""
    found = {}
    for row in rows:
        found.setdefault((row["workload"], row["case"]), {})[row["broker"]] = row

    def cases(name, part):
        return [some for (workload, case), some in found.items() if workload == name and part in case]

    def value(row, path):
        for step in path.split("."):
            row = row.get(step) if row else None
        return row

    out = []

    def ratio(label, name, part, path, other, bound, at_least=False):
        for some in cases(name, part):
            ours, theirs = value(some.get("quipu"), path), value(some.get(other), path)
            if ours and theirs:
                measured = ours / theirs
                met = measured >= bound if at_least else measured <= bound
                busy = [value(some.get(name), "client_busy") or 0 for name in ("quipu", other)]
                line = f"{label}: {measured:.2f} x {other}'s (goal {'≥' if at_least else '≤'} {bound:g})"
                if at_least and not met and min(busy) >= CLIENT_BOUND:
                    met = True
                    line += f"; the client is the limit on both: its busiest thread was busy {busy[0]:.0%} and {busy[1]:.0%} of the time"
                out.append(f"  {'met   ' if met else 'NOT   '} {line}")

    def below(label, name, part, path, bound, unit):
        for some in cases(name, part):
            if (ours := value(some.get("quipu"), path)) is not None:
                out.append(f"  {'met   ' if ours <= bound else 'NOT   '} {label}: {ours:.1f} {unit} (goal ≤ {bound:g})")

    ratio("produce, CPU per record", "W1", "rdkafka, none", "cpu_s_per_million", "kafka", 1 / 5)
    ratio("produce, CPU per record", "W1", "rdkafka, none", "cpu_s_per_million", "kfake", 1 / 3)
    ratio("consume, CPU per record", "W3", "100B, hot", "cpu_s_per_million", "kafka", 2 / 5)
    for name, part in (("W1", "rdkafka, none"), ("W2", "none"), ("W3", "rdkafka, 100B"), ("W3", "rdkafka, 1KiB, hot")):
        ratio(f"{name} {part}, throughput", name, part, "per_s", "kafka", 1.5, at_least=True)
    ratio("1,000/s, ack p50", "W4", "1k/s, os", "ack.p50", "kfake", 1)
    ratio("1,000/s, ack p99", "W4", "1k/s, os", "ack.p99", "kafka", 0.12)
    ratio("1,000/s, end to end p99", "W4", "1k/s, os", "end_to_end.p99", "kafka", 0.12)
    ratio("1,000/s, CPU per record", "W4", "1k/s, os", "cpu_s_per_million", "kfake", 0.6)
    ratio("1,000 partitions, throughput", "W5", "", "per_s", "kafka", 2, at_least=True)
    ratio("1,000 producers, throughput", "W6", "", "per_s", "kafka", 2, at_least=True)
    for partitions, bound in (("dev", 6), ("0 p", 10), ("1,000 p", 40), ("10,000 p", 300)):
        for (workload, case), some in found.items():
            if workload == "W9" and case.startswith(partitions) and "quipu" in some:
                ours = some["quipu"].get("start_ms", 1e9)
                out.append(f"  {'met   ' if ours <= bound else 'NOT   '} start, {case}: {ours:.1f} ms (goal ≤ {bound})")
    growth = [(case, rows_of["quipu"]) for (name, case), rows_of in found.items() if name == "W13" and rows_of.get("quipu", {}).get("us_per_op")]
    for kind in ("produce 4 KiB, 16", "produce 4 KiB, log", "fetch 16 KiB, log", "fetch 16 KiB in order, log"):
        for form in ("", ", segments of 1 MiB"):
            some = [row for case, row in growth if case.startswith(kind) and case.endswith("segments of 1 MiB") == bool(form)]
            if len(some) > 1:
                grown = max(row["us_per_op"] for row in some[1:]) / some[0]["us_per_op"]
                # What is the same work for whoever does it may cost more in the dearer case: only what is over it is ours.
                over = [row["at_hand_us_per_op"] - row["at_hand_floor_us_per_op"] for row in some]
                ours = 1 + (max(over[1:]) - over[0]) / some[0]["at_hand_us_per_op"]
                out.append(f"  {'met   ' if ours <= 1.1 else 'NOT   '} {kind}{form}: the dearest over the first {ours:.2f} of what is ours, pages at hand (goal ≤ 1.1); {grown:.2f} in all")
    below("idle memory", "W11", "idle for", "memory_mb", 6, "MB")
    below("memory of an idle connection", "W11", "connections", "kib_per_connection", 4, "KiB")
    below("a member joins a group", "W8", " 1 members", "join_ms", 5, "ms")
    below("one of 1,000 members leaves", "W8", " 1,000 members", "leave_ms", 3_000, "ms")
    return out


COLOURS = {"quipu": "#1b6e53", "kafka": "#8a8a8a", "kfake": "#c9a227", "mock": "#b0b7c3"}


def svg(result):
    """Bars for records per second, processor time and p99, a group for each case, each scaled to the largest of its group."""
    panels = (
        ("records/s, more is better", lambda row: row.get("per_s")),
        ("broker CPU s per million records, less is better", lambda row: row.get("cpu_s_per_million")),
        ("p99 µs, end to end or acknowledged, less is better", lambda row: (row.get("end_to_end") or row.get("ack") or {}).get("p99")),
    )
    by_case = {}
    for row in summed(result["records"]):
        if "failed" not in row:
            by_case.setdefault(f"{row['workload']}  {row['case']}", []).append(row)
    parts, y, width, bar = [], 30, 1180, 13
    for title, pick in panels:
        parts.append(f'<text x="10" y="{y}" font-size="16" font-weight="bold">{html.escape(title)}</text>')
        y += 14
        for case, rows in by_case.items():
            values = [(row["broker"], pick(row)) for row in rows if pick(row)]
            if not values:
                continue
            y += 8
            parts.append(f'<text x="10" y="{y + bar}" font-size="12">{html.escape(case)}</text>')
            largest = max(value for _, value in values)
            for broker, value in values:
                length = max(value / largest * 520, 1)
                parts.append(f'<rect x="440" y="{y + 2}" width="{length:.1f}" height="{bar - 2}" fill="{COLOURS.get(broker, "#666")}"/>')
                parts.append(f'<text x="{446 + length:.1f}" y="{y + bar - 1}" font-size="11">{broker} {number(value)}</text>')
                y += bar
        y += 40
    about = "; ".join(f"{value}" for value in result["about"].values())
    parts.append(f'<text x="10" y="{y}" font-size="10" fill="#666">{html.escape(about[:220])}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{y + 20}" font-family="sans-serif">'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>\n'
    )


def save(result, folder):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "result.json").write_text(json.dumps({**result, "summary": summed(result["records"])}, indent=1) + "\n")
    (folder / "result.txt").write_text(text(result))
    (folder / "result.svg").write_text(svg(result))
