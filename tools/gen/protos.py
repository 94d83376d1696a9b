#!/usr/bin/env python3
"""Writes api/proto/*.proto from the tables in tools/gen/facts.

The .proto files are the source that is built; run this only when the tables change:

    tools/gen/protos.py

Names, numbers, types and labels are the wire contract of Kubernetes v1. What JSON, patches and server-side apply need
beyond them goes into the options of api/proto/options.proto.
"""
import collections
import csv
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
FACTS = ROOT / "tools/gen/facts"
OUT = ROOT / "api/proto"

# core/v1 is split, so that no file takes long to compile. A group takes what its roots reach and no earlier group has.
CORE_GROUPS = [
    ("reference", ["ObjectReference", "LocalObjectReference", "TypedLocalObjectReference", "TypedObjectReference",
                   "SecretReference", "NodeSelector", "Toleration", "Taint", "TopologySelectorTerm"]),
    ("volume", ["Volume"]),
    ("container", ["Container", "EphemeralContainer"]),
    ("podspec", ["PodTemplateSpec"]),
    ("pod", ["Pod", "PodList", "PodTemplateList", "Binding", "PodStatusResult", "PodAttachOptions", "PodExecOptions",
             "PodLogOptions", "PodPortForwardOptions", "PodProxyOptions"]),
    ("node", ["NodeList", "NodeProxyOptions"]),
    ("persistentvolume", ["PersistentVolumeList", "PersistentVolumeClaimList"]),
    ("replicationcontroller", ["ReplicationControllerList"]),
    ("service", ["ServiceList", "EndpointsList", "ServiceProxyOptions"]),
    ("config", ["ConfigMapList", "SecretList", "ServiceAccountList", "NamespaceList", "LimitRangeList",
                "ResourceQuotaList"]),
    ("event", ["EventList", "ComponentStatusList"]),
    ("other", []),
]


def table(name):
    with open(FACTS / name) as f:
        return list(csv.DictReader(f, delimiter="\t", quoting=csv.QUOTE_NONE))


def file_of_package(package):
    """k8s.io.api.apps.v1 → apps_v1.proto, k8s.io.apimachinery.pkg.apis.meta.v1 → meta_v1.proto."""
    parts = package.split(".")
    special = {"k8s.io.apimachinery.pkg.api.resource": "quantity.proto", "k8s.io.apimachinery.pkg.runtime": "runtime.proto",
               "k8s.io.apimachinery.pkg.util.intstr": "intstr.proto"}
    return special.get(package, f"{parts[-2]}_{parts[-1]}.proto")


def types_in(proto_type):
    inner = proto_type.removeprefix("map<").removesuffix(">")
    return [t.strip()[1:] for t in inner.split(",") if t.strip().startswith(".")]


def field_options(row, messages):
    go = row["go_type"]
    target = types_in(row["proto_type"])
    is_message = bool(target) and row["label"] == "optional"
    collection = is_message and messages[target[0]]["go_type"].startswith(("[]", "map["))
    pointer = go.startswith("*")
    is_struct = is_message and not pointer and not collection
    out = []
    if row["inline"] == "1":
        out.append("inlined: true")
    elif row["json_name"] != row["proto_name"]:
        out.append(f'json: "{row["json_name"] or "-"}"')
    always = row["omitempty"] == "0" or (is_struct and row["omitzero"] != "1")
    if always and row["inline"] != "1":
        out.append("always: true")
    if pointer:
        out.append("pointer: true")
    if row["patch_strategy"]:
        out.append(f'patch_strategy: "{row["patch_strategy"]}"')
    if row["patch_merge_key"]:
        out.append(f'patch_merge_key: "{row["patch_merge_key"]}"')
    if row["list_type"]:
        out.append(f'list_type: "{row["list_type"]}"')
    for key in filter(None, row["list_map_keys"].split(",")):
        out.append(f'list_map_key: "{key.strip()}"')
    if row["map_type"]:
        out.append(f'map_type: "{row["map_type"]}"')
    if row["struct_type"]:
        out.append(f'struct_type: "{row["struct_type"].removesuffix("(type)")}"')
    if row["required_or_optional"] == "+required":
        out.append("required: true")
    return f' [(coxswain.api.field) = {{ {" ".join(out)} }}]' if out else ""


def render(package, names, path, files, fields, messages):
    imports = set()
    body = []
    for name in names:
        full = f"{package}.{name}"
        body.append(f"message {name} {{")
        traits = []
        if messages[full]["has_type_meta"] == "1":
            traits.append("type_meta: true")
        if messages[full]["json_form"]:
            traits.append(f'json_form: "{messages[full]["json_form"]}"')
        if traits:
            body.append(f'  option (coxswain.api.message) = {{ {" ".join(traits)} }};')
        for row in fields.get(full, []):
            for target in types_in(row["proto_type"]):
                if files[target] != path:
                    imports.add("api/proto/" + files[target])
            label = "" if row["label"] == "map" else row["label"] + " "
            body.append(f'  {label}{row["proto_type"]} {row["proto_name"]} = {row["field_number"]}'
                        f"{field_options(row, messages)};")
        body.append("}\n")
    if any("coxswain.api." in line for line in body):
        imports.add("api/proto/options.proto")
    head = ["// Wire-compatible with Kubernetes: made by tools/gen/protos.py, names and numbers never change.",
            'syntax = "proto2";', f"package {package};", ""]
    head += [f'import "{i}";' for i in sorted(imports)]
    out = OUT / path
    out.write_text("\n".join(head + [""] + body).rstrip() + "\n")


def main():
    messages = {f'{m["proto_package"]}.{m["message"]}': m for m in table("kube-messages.tsv")}
    fields = collections.defaultdict(list)
    for row in table("kube-fields.tsv"):
        fields[f'{row["proto_package"]}.{row["message"]}'].append(row)
    # A message whose every field is newer than the version we serve is not there at all.
    present = [m for m in messages if m in fields or messages[m]["field_count"] == "0"]
    used = {t for rows in fields.values() for row in rows for t in types_in(row["proto_type"])}
    present = sorted(set(present) | used)

    files = {m: file_of_package(m.rsplit(".", 1)[0]) for m in present}
    core = [m for m in present if m.startswith("k8s.io.api.core.v1.")]
    taken = set()
    for group, roots in CORE_GROUPS:
        todo = [f"k8s.io.api.core.v1.{r}" for r in roots] if roots else list(core)
        while todo:
            at = todo.pop()
            if at in taken or at not in core:
                continue
            taken.add(at)
            files[at] = f"core_v1_{group}.proto"
            todo += [t for row in fields.get(at, []) for t in types_in(row["proto_type"])]

    by_file = collections.defaultdict(list)
    for m in present:
        by_file[files[m]].append(m)
    for path, members in by_file.items():
        package = members[0].rsplit(".", 1)[0]
        render(package, [m.rsplit(".", 1)[1] for m in members], path, files, fields, messages)


if __name__ == "__main__":
    main()
