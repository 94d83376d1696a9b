#!/usr/bin/env python3
"""Writes api/openapi_required.inc: the fields that OpenAPI calls required, from tools/gen/facts/kube-fields.tsv.

A field is required when its marker says so, or when it is always in JSON and not marked as optional.

    tools/gen/required.py
"""
import csv
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]


def is_required(row):
    if row["inline"] == "1" or row["json_name"] in ("", "-") or row["required_or_optional"] == "+optional":
        return False
    return row["required_or_optional"] == "+required" or row["omitempty"] == "0"


def main():
    out = ["// Made by tools/gen/required.py from tools/gen/facts/kube-fields.tsv: message, field number.",
           "// clang-format off"]
    with open(ROOT / "tools/gen/facts/kube-fields.tsv") as f:
        for row in csv.DictReader(f, delimiter="\t", quoting=csv.QUOTE_NONE):
            if is_required(row):
                out.append(f'{{"{row["proto_package"]}.{row["message"]}", {row["field_number"]}}},')
    (ROOT / "api/openapi_required.inc").write_text("\n".join(out) + "\n")


if __name__ == "__main__":
    main()
