#!/usr/bin/env python3
"""Writes apiserver/http/selectors.inc, the fields that a resource can be selected by, from tools/gen/facts."""
import csv
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]


def main():
    with open(ROOT / "tools/gen/facts/kube-selectors.tsv") as f:
        rows = list(csv.DictReader(f, delimiter="\t", quoting=csv.QUOTE_NONE))
    out = ["// Made by tools/gen/selectors.py from tools/gen/facts/kube-selectors.tsv: kind, API version, field selector,",
           "// the path that is compared.", "// clang-format off"]
    out += [f'{{"{r["kind"]}", "{r["group_version"]}", "{r["field_selector"]}", "{r["maps_to"]}"}},' for r in rows]
    (ROOT / "apiserver/http/selectors.inc").write_text("\n".join(out) + "\n// clang-format on\n")


if __name__ == "__main__":
    main()
