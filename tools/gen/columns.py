#!/usr/bin/env python3
"""Writes api/columns.inc, the columns of tables, from tools/gen/facts/kube-columns.tsv."""
import csv
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]


def main():
    with open(ROOT / "tools/gen/facts/kube-columns.tsv") as f:
        rows = list(csv.DictReader(f, delimiter="\t", quoting=csv.QUOTE_NONE))
    out = ["// Made by tools/gen/columns.py from tools/gen/facts/kube-columns.tsv: kind, name, type, format, priority.",
           "// clang-format off"]
    for r in rows:
        if r["kind"].startswith("("):
            continue
        out.append(f'{{"{r["kind"]}", "{r["column_name"]}", "{r["type"]}", "{r["format"]}", {r["priority"]}}},')
    (ROOT / "api/columns.inc").write_text("\n".join(out) + "\n// clang-format on\n")


if __name__ == "__main__":
    main()
