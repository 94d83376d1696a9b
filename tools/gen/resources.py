#!/usr/bin/env python3
"""Writes api/resources.inc, the rows of api/scheme.cc, from the tables in tools/gen/facts. Run it when they change."""
import csv
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
FACTS = ROOT / "tools/gen/facts"
PACKAGES = {"": "k8s.io.api.core", "apiextensions.k8s.io": "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions",
            "apiregistration.k8s.io": "k8s.io.kube_aggregator.pkg.apis.apiregistration"}


def table(name):
    with open(FACTS / name) as f:
        return list(csv.DictReader(f, delimiter="\t", quoting=csv.QUOTE_NONE))


def quoted(items):
    return "{" + ", ".join(f'"{i}"' for i in items if i) + "}"


def subresources(text):
    out = []
    for part in filter(None, text.split(";")):
        name, kind, verbs = part.split(":")
        group_version, _, bare = kind.rpartition("/")
        out.append(f'{{"{name}", "{group_version}", "{bare}", {quoted(verbs.split(","))}}}')
    return "{" + ", ".join(out) + "}"


def group_version(row):
    return f'{row["group"]}/{row["version"]}' if row["group"] else row["version"]


def main():
    messages = {f'{r["proto_package"]}.{r["message"]}' for r in table("kube-fields.tsv")}
    rows = []
    resources = [r for r in table("kube-resources.tsv") if r["in_v1_36"] == "1"]
    for r in resources:
        group = r["group"]
        package = PACKAGES.get(group) or "k8s.io.api." + group.split(".")[0]
        message = f'{package}.{r["version"]}.{r["kind"]}'
        if message not in messages:
            continue
        prefix = r["storage_key"].split("/<")[0]
        rows.append(f'{{"{group}", "{r["version"]}", "{r["kind"]}", "{r["plural"]}", "{r["singular"]}", '
                    f'{quoted(r["short_names"].split(","))}, {quoted(r["categories"].split(","))}, '
                    f'{"true" if r["namespaced"] == "1" else "false"}, {quoted(r["verbs"].split(","))},\n '
                    f'{subresources(r["subresources"])},\n '
                    f'"{prefix}", "{r["storage_version"]}", "{r["storage_version_hash"]}", "{message}"}},')
    (ROOT / "api/resources.inc").write_text(
        "// Made by tools/gen/resources.py from tools/gen/facts/kube-resources.tsv.\n// clang-format off\n"
        + "\n".join(rows) + "\n// clang-format on\n")


if __name__ == "__main__":
    main()
