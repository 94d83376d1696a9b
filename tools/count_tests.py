#!/usr/bin/env python3
"""Counts test cases from Meson's logs (and the GoogleTest output in them): prints `N passed, N failed[, N skipped]`.

Exit code 1 when something failed or nothing ran.
"""
import json
import os
import re
import sys


def main(paths):
    passed = failed = skipped = 0
    for path in paths:
        if not os.path.exists(path):
            print(f"FAILED: no test of {path} ran", file=sys.stderr)
            failed += 1
            continue
        for line in open(path):
            test = json.loads(line)
            out = test.get("stdout", "")
            ok = len(re.findall(r"^\[       OK \]|^ok \d", out, re.M))
            bad = len(re.findall(r"^\[  FAILED  \] [\w./]+ \(\d|^not ok \d", out, re.M))
            tap_skipped = len(re.findall(r"^ok \d.*# SKIP", out, re.M))
            ok -= tap_skipped
            skipped += tap_skipped + len(re.findall(r"^\[  SKIPPED \] [\w./]+ \(\d", out, re.M))
            if test["result"] not in ("OK", "EXPECTEDFAIL", "SKIP") and bad == 0:
                bad = 1  # crashed, timed out, or failed before it could say more
                print(f"FAILED: {test['name']} ({test['result']})", file=sys.stderr)
            elif test["result"] == "OK" and ok == 0 and not tap_skipped:
                ok = 1
            passed += ok
            failed += bad
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
