#!/usr/bin/env python3
"""What the programs say to bad input: the flag, key or file is named, and nothing is lost."""
import os
import tempfile

from harness import COXCTL, COXSWAIN, contains, equal, main, run


def refused(command, *words):
    code, text = run(*command, check=False)
    equal(code != 0, True, " ".join(command))
    for word in words:
        contains(text, word)


def bad_flags_are_named():
    refused([COXSWAIN, "serve"], "serve")
    refused([COXSWAIN, "server", "--no-such-flag"], "--no-such-flag")
    refused([COXSWAIN, "server"], "--ca-file")
    refused([COXSWAIN, "server", "--insecure", "--listen-api", "0.0.0.0:6443"], "--listen-api", "loopback")
    refused([COXSWAIN, "server", "--insecure", "--heartbeat-ms", "1000"], "--election-ms")
    refused([COXSWAIN, "server", "--insecure", "--initial-cluster", "a=http://127.0.0.1:1"], "--initial-cluster", "default")
    refused([COXSWAIN, "apiserver", "--insecure"], "--store")
    refused([COXCTL, "get", "x"], "--cluster", "--endpoints")
    refused([COXCTL, "cluster", "up", "--dir", "/tmp/never-made", "--members", "2"], "--members")


def unknown_keys_of_the_configuration_are_named():
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "c.yaml")
        with open(path, "w") as f:
            f.write("insecure: true\nlisten-apy: 127.0.0.1:1\n")
        refused([COXSWAIN, "server", "--config", path], "listen-apy")
        with open(path, "w") as f:
            f.write("insecure: true\nheartbeat-ms: soon\n")
        refused([COXSWAIN, "server", "--config", path], "heartbeat-ms")


def a_directory_with_something_in_it_is_left_alone():
    with tempfile.TemporaryDirectory() as directory:
        with open(os.path.join(directory, "precious"), "w") as f:
            f.write("x")
        refused([COXCTL, "cluster", "up", "--dir", directory], directory)
        equal(os.listdir(directory), ["precious"])


def help_tells_every_command():
    text = run(COXSWAIN, "--help")
    for command in ("server", "store", "apiserver", "scheduler", "controllers", "hollow-nodes"):
        contains(text, command)
        contains(run(COXSWAIN, command, "--help"), "--log-level")


main([bad_flags_are_named, unknown_keys_of_the_configuration_are_named, a_directory_with_something_in_it_is_left_alone, help_tells_every_command])
