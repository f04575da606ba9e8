#!/usr/bin/env python3
"""Reads a scrape with Prometheus' own parser for Python and compares it with docs/metrics.md.

    check-metrics.py SCRAPE DOCS

Prints what is wrong, one line each; exit code 1 if anything is.
"""

import re
import sys

from prometheus_client.parser import text_string_to_metric_families

EXTRA = {"histogram": {"le"}}


def documented(path):
    """name -> (type, {label: allowed values, or None})"""
    metrics = {}
    for line in open(path, encoding="utf-8"):
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) != 4 or not cells[0].startswith("`idcsync_"):
            continue
        labels = {}
        for part in filter(None, (part.strip() for part in cells[2].split(";"))):
            name = re.match(r"`([a-z]+)`", part).group(1)
            _, equals, values = part.partition(" = ")
            labels[name] = {value.strip() for value in values.split(",")} if equals else None
        metrics[cells[0].strip("`")] = (cells[1], labels)
    return metrics


def main(scrape, docs):
    wrong = []
    metrics = documented(docs)
    if not metrics:
        wrong.append(f"{docs} has no table of metrics")
    text = open(scrape, encoding="utf-8").read()
    if not text.endswith("\n"):
        wrong.append("the last line has no end")
    seen, series = set(), set()
    for family in text_string_to_metric_families(text):
        # The parser takes the ending off the names of counters.
        name = family.name + ("_total" if family.type == "counter" else "")
        if name in seen:
            wrong.append(f"{name}: two families")
        seen.add(name)
        if name not in metrics:
            wrong.append(f"{name} is not in {docs}")
            continue
        kind, labels = metrics[name]
        if family.type != kind:
            wrong.append(f"{name} is a {family.type}, documented as {kind}")
        if not family.documentation:
            wrong.append(f"{name} has no HELP")
        if not family.samples:
            wrong.append(f"{name} has no series")
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            if key in series:
                wrong.append(f"{key}: twice")
            series.add(key)
            if not sample.labels.get("profile"):
                wrong.append(f"{key}: no profile")
            expected = {"profile", *labels}
            optional = EXTRA.get(family.type, set())
            if not expected <= set(sample.labels) <= expected | optional:
                wrong.append(f"{key}: documented with {sorted(expected)}")
            for label, allowed in labels.items():
                if allowed is not None and sample.labels.get(label) not in allowed:
                    wrong.append(f"{key}: {label} is documented as one of {sorted(allowed)}")
    for name in sorted(set(metrics) - seen):
        wrong.append(f"{name} is documented and not there")
    print("\n".join(wrong) if wrong else f"{len(seen)} metrics, {len(series)} series")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
