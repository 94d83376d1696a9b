#!/usr/bin/env python3
"""A cluster of three over TLS: who a certificate's name is, and certificates and authorities that change while it runs."""
import contextlib
import json
import os
import shutil
import socket
import ssl
import subprocess

from harness import COXCTL, Failure, contains, equal, eventually, main, run
from stores import Store, etcdctl, root

members = [Store(f"t{i}") for i in range(3)]
CONFIG = """
[req]
distinguished_name = name
[name]
[ca]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
[leaf]
basicConstraints = critical,CA:FALSE
extendedKeyUsage = serverAuth,clientAuth
subjectAltName = IP:127.0.0.1,DNS:localhost
"""


def issue(path, name, ca=None):
    """PATH.crt and PATH.key; signed by the authority, or one itself. Put in place whole, as a tool that rotates them does."""
    signed = ("-CA", ca + ".crt", "-CAkey", ca + ".key", "-extensions", "leaf") if ca else ("-extensions", "ca")
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=" + name,
        "-keyout", path + ".key.new", "-out", path + ".crt.new", "-config", root + "/openssl.cnf", *signed)
    for end in (".key", ".crt"):
        os.rename(path + end + ".new", path + end)


def write(path, text):
    with open(path + ".new", "w") as f:
        f.write(text)
    os.rename(path + ".new", path)


def read(path):
    with open(path) as f:
        return f.read()


def as_(name, *args, at=None, **kw):
    """etcdctl with that certificate; one member, or all."""
    urls = ",".join("https://" + m.client for m in ([at] if at else members))
    # A client whose handshake fails tries again until its time is over.
    patience = ("--dial-timeout", "1s", "--command-timeout", "2s") if kw.get("check") is False else ()
    return etcdctl(urls, *patience, "--cacert", root + "/ca.crt", "--cert", f"{root}/{name}.crt", "--key", f"{root}/{name}.key", *args, **kw)


def refused(name, text, *args, **kw):
    code, out = as_(name, *args, check=False, **kw)
    equal(code != 0, True, args)
    contains(out, text)


def coxctl(name, *args, **kw):
    return run(COXCTL, *args, "--endpoints", ",".join("https://" + m.client for m in members), "--cacert", root + "/ca.crt", "--cert",
               f"{root}/{name}.crt", "--key-file", f"{root}/{name}.key", **kw)


def shown(address, name="root", authority="ca"):
    """The certificate that a new connection is shown, in DER."""
    context = ssl.create_default_context(cafile=f"{root}/{authority}.crt")
    context.load_cert_chain(f"{root}/{name}.crt", f"{root}/{name}.key")
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as s, context.wrap_socket(s, server_hostname="127.0.0.1") as tls:
        return tls.getpeercert(binary_form=True)


def der(path):
    return ssl.PEM_cert_to_DER_cert(read(path))


@contextlib.contextmanager
def watch(key):
    p = subprocess.Popen(["etcdctl", "--endpoints", "https://" + members[0].client, "--cacert", root + "/ca.crt", "--cert", root + "/root.crt",
                          "--key", root + "/root.key", "watch", key, "--rev", "1"], stdout=subprocess.PIPE, text=True,
                         env={**os.environ, "ETCDCTL_API": "3"})
    try:
        yield p
    finally:
        p.kill()
        p.wait()


def it_starts():
    write(root + "/openssl.cnf", CONFIG)
    issue(root + "/authority1", "authority 1")
    shutil.copy(root + "/authority1.crt", root + "/ca.crt")
    for name in ("root", "ann", "stranger"):
        issue(f"{root}/{name}", name, root + "/authority1")
    issue(root + "/other-authority", "other")
    issue(root + "/forged", "root", root + "/other-authority")
    everyone = ",".join(f"{m.name}=https://{m.peer}" for m in members)
    for m in members:
        issue(f"{root}/{m.name}", "member " + m.name, root + "/authority1")
        shutil.copy(root + "/ca.crt", f"{root}/{m.name}-ca.crt")
        m.security = ("--ca-file", f"{root}/{m.name}-ca.crt", "--cert-file", f"{root}/{m.name}.crt", "--key-file", f"{root}/{m.name}.key")
        m.start("--initial-cluster", everyone)
    for m in members:
        eventually("it serves", lambda m=m: as_("root", "put", "a", "1", at=m) == "OK\n")
    refused("forged", "", "get", "a")
    code, out = etcdctl("https://" + members[0].client, "--cacert", root + "/ca.crt", "--dial-timeout", "1s", "--command-timeout", "2s", "get", "a",
                        check=False)
    equal(code != 0, True, "nobody comes in without a certificate: " + out)


def a_certificates_name_is_the_user():
    for args in (("user", "add", "root:rootpw"), ("user", "grant-role", "root", "root"), ("user", "add", "ann", "--no-password"),
                 ("role", "add", "reader"), ("role", "grant-permission", "reader", "read", "a"), ("user", "grant-role", "ann", "reader"),
                 ("auth", "enable")):
        as_("root", *args)
    for m in members:
        equal(as_("ann", "get", "a", at=m), "a\n1\n")
        refused("ann", "etcdserver: permission denied", "put", "a", "2", at=m)
        refused("ann", "etcdserver: permission denied", "get", "b", at=m)
        refused("ann", "etcdserver: permission denied", "user", "list", at=m)
        refused("stranger", "etcdserver: permission denied", "get", "a", at=m)
        equal(as_("root", "put", "a", "1", at=m), "OK\n")
        contains(as_("root", "user", "list", at=m), "ann")
    refused("ann", "permission denied", "watch", "b")
    # A user without a password is nobody's by password; a token goes before the certificate's name.
    refused("stranger", "authentication failed", "get", "a", "--user", "ann:guess")
    equal(as_("ann", "put", "b", "2", "--user", "root:rootpw"), "OK\n")


def members_are_changed_by_root_through_any_member():
    for m in members:
        refused("ann", "etcdserver: permission denied", "member", "add", "more", "--learner", "--peer-urls=https://127.0.0.1:1", at=m)
        new = as_("root", "member", "add", "more", "--learner", "--peer-urls=https://127.0.0.1:1", at=m).split()[1]
        refused("ann", "etcdserver: permission denied", "member", "remove", new, at=m)
        as_("root", "member", "remove", new, at=m)


def signed_tokens_too():
    run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", root + "/sign")
    run("openssl", "ec", "-in", root + "/sign", "-pubout", "-out", root + "/verify")
    options = "jwt,pub-key=%s/verify,sign-method=ES256" % root
    for tokens, works in ((options, False), (options + ",priv-key=%s/sign" % root, True)):
        for m in members:
            m.stop()
            m.start("--auth-token", tokens)
        for m in members:
            eventually("it is back", lambda m=m: as_("root", "put", "a", "1", at=m, check=False)[0] == 0)
        if works:
            members_are_changed_by_root_through_any_member()
            continue
        # Only the leader can do without.
        answers = [as_("root", "member", "remove", "1", at=m, check=False)[1] for m in members]
        equal(sorted("etcdserver: member not found" in a for a in answers), [False, False, True], answers)
        equal(sum("this member has no key to sign tokens with" in a for a in answers), 2, answers)


def coxctl_signs_in():
    equal(coxctl("ann", "get", "a"), "a\n1\n")
    code, out = coxctl("ann", "put", "a", "2", check=False)
    equal(code, 1)
    contains(out, "etcdserver: permission denied")
    equal(coxctl("ann", "put", "c", "3", "--user", "root:rootpw"), "OK\n")
    equal(len(json.loads(coxctl("stranger", "hash", "-o", "json", "--user", "root:rootpw"))["members"]), 3)
    contains(coxctl("stranger", "snapshot", "save", root + "/snapshot", "--user", "root:rootpw"), "saved")
    code, out = coxctl("ann", "get", "a", "--user", "root:wrong", check=False)
    equal(code, 1)
    contains(out, "--user: etcdserver: authentication failed, invalid user ID or password")
    code, out = coxctl("ann", "get", "a", "--user", "root", check=False, stdin="")
    equal(code, 1)
    contains(out, "there is no password")


def a_new_certificate_is_used_without_a_restart():
    one = members[0]
    with watch("rotated") as p:
        for i in range(2):
            before = shown(one.client)
            issue(f"{root}/{one.name}", f"member {one.name} {i}", root + "/authority1")
            for address in (one.client, one.peer):
                eventually("new connections get the new one", lambda a=address: shown(a) == der(f"{root}/{one.name}.crt"), seconds=10)
            equal(shown(one.client) != before, True)
            # What was connected before goes on.
            as_("root", "put", "rotated", str(i))
            equal([p.stdout.readline().strip() for _ in range(3)], ["PUT", "rotated", str(i)])


def a_broken_one_is_not_used_and_the_log_says_so():
    one = members[1]
    right = shown(one.client)
    path = f"{root}/{one.name}"
    good = {end: read(path + end) for end in (".crt", ".key")}

    def complaints():
        return one.said().count("the changed TLS files are not used")

    for what, end, text in (("no PEM", ".crt", "garbage"), ("nothing", ".crt", ""), ("another's", ".key", read(root + "/ann.key")), ("a broken CA", "-ca.crt", "x")):
        seen = complaints()
        old = read(path + end)
        write(path + end, text)
        eventually(f"the log tells of {what}", lambda: complaints() > seen, seconds=10)
        equal(shown(one.client), right, what)
        equal(as_("root", "get", "a", at=one), "a\n1\n")
        write(path + end, old)
    os.unlink(path + ".crt")
    seen = complaints()
    eventually("the log tells of a missing file", lambda: complaints() > seen, seconds=10)
    equal(shown(one.client), right)
    for end, text in good.items():
        write(path + end, text)
    # Key and certificate come one after the other: in between is no harm.
    issue(path + "-next", "member next", root + "/authority1")
    write(path + ".crt", read(path + "-next.crt"))
    eventually("half a change is told", lambda: complaints() > seen + 1 or shown(one.client) == right, seconds=10)
    write(path + ".key", read(path + "-next.key"))
    eventually("the whole change is used", lambda: shown(one.client) == der(path + "-next.crt"), seconds=10)


def the_authority_is_replaced():
    issue(root + "/authority2", "authority 2")
    both = read(root + "/authority1.crt") + read(root + "/authority2.crt")
    # First everybody trusts both; then all show certificates of the second; then the first goes.
    for name in ("ca", *(m.name + "-ca" for m in members)):
        write(f"{root}/{name}.crt", both)
    issue(root + "/second", "root", root + "/authority2")
    for m in members:
        eventually("it trusts the second", lambda m=m: as_("second", "get", "a", at=m, check=False)[0] == 0, seconds=10)
    for m in members:
        issue(f"{root}/{m.name}", "member " + m.name, root + "/authority2")
    for m in members:
        for address in (m.client, m.peer):
            eventually("it shows the second's", lambda m=m, a=address: shown(a) == der(f"{root}/{m.name}.crt"), seconds=10)
    for name in ("ca", *(m.name + "-ca" for m in members)):
        write(f"{root}/{name}.crt", read(root + "/authority2.crt"))
    for m in members:
        eventually("the first's are refused", lambda m=m: as_("root", "get", "a", at=m, check=False)[0] != 0, seconds=10)
        equal(as_("second", "put", "a", "1", at=m), "OK\n")
    # One comes back and knows nothing of the first: the others, which never stopped, talk to it.
    members[2].stop()
    members[2].start()
    eventually("it takes part", lambda: as_("second", "put", "back", "again", at=members[2], check=False)[0] == 0)
    equal(as_("second", "get", "back", "--print-value-only", at=members[0]), "again\n")
    members[0].stop()
    eventually("the two are a majority", lambda: as_("second", "put", "two", "of three", at=members[1], check=False)[0] == 0)


main([it_starts, a_certificates_name_is_the_user, members_are_changed_by_root_through_any_member, signed_tokens_too,
      coxctl_signs_in, a_new_certificate_is_used_without_a_restart, a_broken_one_is_not_used_and_the_log_says_so, the_authority_is_replaced])
