#!/usr/bin/env python3
"""House rules that a machine can check: who may include whom, what may stand where. Prints TAP; exit code 1 on a fault."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
# The arrows of ARCHITECTURE.md's picture: a room, and the rooms that it may include.
ALLOWED = {
    "base": {"base"},
    "net": {"net", "base"},
    "raft": {"raft", "base", "net"},
    "kvstore": {"kvstore", "raft", "net", "base"},
    "api": {"api", "net", "base"},
    "apiserver": {"apiserver", "api", "kvstore", "net", "base"},
    "controllers": {"controllers", "api", "base"},
    "scheduler": {"scheduler", "api", "base"},
}
# Pure parts know neither time nor threads nor sockets, and no room but base.
PURE = ["raft/core", "kvstore/auth", "kvstore/core", "kvstore/mvcc"]
PURE_ALLOWED = {"raft/core": {"raft/core", "base"}, "kvstore/auth": {"kvstore", "base"}, "kvstore/core": {"kvstore", "base"}, "kvstore/mvcc": {"kvstore", "base"}}
# All of kvstore/ that is on a client's side.
CLIENT_SIDE = {"kvstore/client.h", "kvstore/remote_client.h", "kvstore/mvcc/event.h", "kvstore/mvcc/record.h", "kvstore/proto/rpc.pb.h"}
BANNED_IN_PURE = re.compile(r"system_clock|steady_clock|random_device|\brand\(|sleep_for|std::thread|std::mutex|boost/asio")
INCLUDE = re.compile(r'^#include "([^"]+)"', re.M)

faults = {"arrows": [], "pure parts": [], "pragma once": [], "size": []}


def room_of(path):
    return path.split("/")[0]


for file in sorted(ROOT.glob("*/**/*")):
    name = str(file.relative_to(ROOT))
    room = room_of(name)
    if file.suffix not in (".h", ".cc") or room not in ALLOWED:
        continue
    text = file.read_text()
    for include in INCLUDE.findall(text):
        if "/" not in include:
            faults["arrows"].append(f'{name}: #include "{include}" does not name its room')
            continue
        target = room_of(include)
        if target not in ALLOWED[room]:
            faults["arrows"].append(f"{name} includes {include}: {room}/ may not use {target}/")
        if room == "raft" and target == "net" and not name.startswith("raft/transport"):
            faults["arrows"].append(f"{name} includes {include}: raft/ uses net/ in its transport only")
        if room == "apiserver" and target == "kvstore" and include not in CLIENT_SIDE:
            faults["arrows"].append(f"{name} includes {include}: apiserver/ sees the store through its client only")
    for part in PURE:
        if not name.startswith(part + "/"):
            continue
        for include in INCLUDE.findall(text):
            if not any(include.startswith(a) for a in PURE_ALLOWED[part]):
                faults["pure parts"].append(f"{name} includes {include}")
        # LevelDB's environment is the one shell in there.
        if part != "kvstore/mvcc" and BANNED_IN_PURE.search(text):
            faults["pure parts"].append(f"{name} uses {BANNED_IN_PURE.search(text).group(0)}")
    if file.suffix == ".h" and "#pragma once" not in text and "/pch/" not in name:
        faults["pragma once"].append(name)
    if text.count("\n") > 800:
        faults["size"].append(f"{name} has {text.count(chr(10))} lines: does it have one reason to change?")

print(f"1..{len(faults)}")
bad = False
for i, (rule, found) in enumerate(faults.items(), 1):
    print(f"{'not ok' if found else 'ok'} {i} - {rule}")
    for fault in found:
        bad = True
        print(f"# {fault}")
sys.exit(1 if bad else 0)
