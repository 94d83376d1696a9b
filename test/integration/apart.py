"""A master in parts, each a process of its own, on a store elsewhere."""
import json
import urllib.request

import stores
from harness import COXSWAIN, eventually, free_port, kubectl


class Apart:
    """API server, controllers, scheduler and hollow nodes on Coxswain's store ("store") or a stock etcd ("etcd")."""

    def __init__(self, store, hollow_nodes):
        self.store = (stores.Etcd if store == "etcd" else stores.Store)(store).start()
        self.store.ready()
        self.processes = [self.store.process]
        api = f"127.0.0.1:{free_port()}"
        self.api = "http://" + api
        self.start(COXSWAIN, "apiserver", "--insecure", "--store", self.store.client, "--listen-api", api)
        eventually("the API is ready", self.ready)
        for part in ("controllers", "scheduler"):
            self.start(COXSWAIN, part, "--insecure", "--server", self.api, "--name", "apart")
        self.start(COXSWAIN, "hollow-nodes", "--insecure", "--server", self.api, "--count", str(hollow_nodes))
        self.kubeconfig = stores.root + "/kubeconfig"
        cluster = {"clusters": [{"name": "c", "cluster": {"server": self.api}}], "contexts": [{"name": "c", "context": {"cluster": "c", "user": ""}}], "current-context": "c"}
        with open(self.kubeconfig, "w") as f:
            json.dump({"apiVersion": "v1", "kind": "Config", **cluster}, f)

    def start(self, *command):
        self.processes.append(stores.spawn(command, "apart.log"))

    def ready(self):
        try:
            return urllib.request.urlopen(self.api + "/readyz", timeout=2).status == 200
        except OSError:
            return False

    def healthy(self):
        return all(p.poll() is None for p in self.processes) and self.ready()

    def kubectl(self, *args, **kw):
        return kubectl(*args, config=self.kubeconfig, **kw)

    def kubectl_json(self, *args):
        return json.loads(self.kubectl(*args, "-o", "json"))

    def etcdctl(self, *args, **kw):
        return self.store.etcdctl(*args, **kw)

