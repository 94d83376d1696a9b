#!/usr/bin/env python3
"""Unmodified kubectl 1.35 against three masters behind HAProxy, with hollow nodes; or, with an argument, against an API
server on a store elsewhere: "store" is Coxswain's own, "etcd" a stock etcd. What holds on one has to hold on all."""
import subprocess
import sys
import time

from apart import Apart
from harness import KUBECTL, Cluster, contains, equal, eventually, kubectl_env, main

c = Apart(sys.argv[1], 3) if len(sys.argv) > 1 else Cluster("--haproxy", "--hollow-nodes", "3")
WORKLOADS = """
apiVersion: v1
kind: ReplicationController
metadata: {name: rc, labels: {app: rc}}
spec:
  replicas: 2
  selector: {app: rc}
  template:
    metadata: {labels: {app: rc}}
    spec: {containers: [{name: c, image: "busybox:1"}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: "nginx:1", ports: [{containerPort: 80}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
"""


def running(label, n):
    pods = c.kubectl_json("get", "pods", "-l", label)["items"]
    return len(pods) == n and all(p["status"].get("phase") == "Running" and "deletionTimestamp" not in p["metadata"] for p in pods)


def nodes_register_and_become_ready():
    eventually("three ready nodes", lambda: c.kubectl("get", "nodes").count(" Ready ") == 3)
    contains(c.kubectl("describe", "node", "hollow-node-0"), "Ready")


def workloads_come_up():
    out = c.kubectl("create", "-f", "-", stdin=WORKLOADS)
    equal(out.split("\n")[:3], ["replicationcontroller/rc created", "deployment.apps/web created", "service/web created"])
    c.kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    eventually("rc's pods run", lambda: running("app=rc", 2))
    eventually("three endpoints", lambda: len(c.kubectl_json("get", "endpoints", "web")["subsets"][0]["addresses"]) == 3)
    eventually("a slice", lambda: len(c.kubectl_json("get", "endpointslices", "-l", "kubernetes.io/service-name=web")["items"][0]["endpoints"]) == 3)
    c.kubectl("wait", "--for=condition=Ready", "pod", "-l", "app=web", "--timeout=20s")


def get_in_every_form():
    contains(c.kubectl("get", "deploy"), "web    3/3     3            3")
    contains(c.kubectl("get", "deploy", "-o", "wide"), "app=web")
    contains(c.kubectl("get", "pods", "-o", "wide"), "hollow-node-")
    contains(c.kubectl("get", "deploy", "web", "-o", "yaml"), "progressDeadlineSeconds: 600")
    contains(c.kubectl("get", "svc", "web", "-o", "jsonpath={.spec.clusterIP}"), "10.")
    contains(c.kubectl("describe", "deployment", "web"), "NewReplicaSet:")
    contains(c.kubectl("get", "events"), "Scheduled")
    contains(c.kubectl("api-resources"), "deployments")
    contains(c.kubectl("explain", "pod.spec"), "containers")
    equal(c.kubectl("auth", "can-i", "delete", "pods"), "yes\n")


def a_watch_follows_changes():
    watch = subprocess.Popen([KUBECTL, "get", "pods", "-l", "app=watched", "-w"], stdout=subprocess.PIPE, text=True, env=kubectl_env(c.kubeconfig))
    try:
        time.sleep(0.5)
        c.kubectl("run", "watched", "--image=busybox:1", "--labels=app=watched")
        seen = ""
        while "Running" not in seen:
            seen = watch.stdout.readline()
        contains(seen, "watched")
    finally:
        watch.kill()
    c.kubectl("delete", "pod", "watched", "--wait=true", "--timeout=20s")


def apply_twice_with_a_change():
    manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {a: one, b: two}\n"
    equal(c.kubectl("apply", "-f", "-", stdin=manifest), "configmap/settings created\n")
    equal(c.kubectl("apply", "-f", "-", stdin=manifest), "configmap/settings unchanged\n")
    equal(c.kubectl("apply", "-f", "-", stdin=manifest.replace("b: two", "c: three")), "configmap/settings configured\n")
    equal(c.kubectl_json("get", "cm", "settings")["data"], {"a": "one", "c": "three"})


def bad_manifests_are_refused_by_field():
    code, text = c.kubectl("apply", "-f", "-", stdin=WORKLOADS.replace("replicas: 3", "replicsa: 3"), check=False)
    equal(code, 1)
    contains(text, 'unknown field "spec.replicsa"')
    code, text = c.kubectl("create", "-f", "-", stdin="apiVersion: v1\nkind: Pod\nmetadata: {name: bad}\nspec: {containers: []}\n", check=False)
    contains(text, "spec.containers: Required value")
    # Numbers are not quoted.
    code, text = c.kubectl("create", "-f", "-", stdin=WORKLOADS.replace("replicas: 3", "replicas: -3"), check=False)
    contains(text, "spec.replicas: Invalid value: -3: must be greater than or equal to 0")


def an_object_is_served_in_all_its_versions():
    hpa = ("apiVersion: autoscaling/{}\nkind: HorizontalPodAutoscaler\nmetadata: {{name: h}}\n"
           "spec: {{maxReplicas: 3, {}scaleTargetRef: {{kind: Deployment, name: web}}}}\n")
    old, new = "horizontalpodautoscalers.v1.autoscaling", "horizontalpodautoscalers.v2.autoscaling"
    c.kubectl("create", "-f", "-", stdin=hpa.format("v1", "targetCPUUtilizationPercentage: 55, "))
    target = "jsonpath={.apiVersion} {.spec.metrics[*].resource.target.averageUtilization}"
    equal(c.kubectl("get", new, "h", "-o", target), "autoscaling/v2 55")
    metrics = '{"spec":{"metrics":[{"type":"Resource","resource":{"name":"memory","target":{"type":"Utilization","averageUtilization":33}}}]}}'
    c.kubectl("patch", new, "h", "--type=merge", "-p", metrics)
    equal("targetCPUUtilizationPercentage" in c.kubectl("get", old, "h", "-o", "yaml"), False)
    contains(c.kubectl("get", old, "h", "-o", "yaml"), 'autoscaling.alpha.kubernetes.io/metrics: \'[{"type":"Resource"')
    c.kubectl("patch", old, "h", "-p", '{"spec":{"maxReplicas":7,"targetCPUUtilizationPercentage":44}}')
    equal(c.kubectl("get", new, "h", "-o", target + "{.spec.maxReplicas}"), "autoscaling/v2 33 447")
    contains(c.kubectl("get", old), "Deployment/web")
    c.kubectl("apply", "-f", "-", stdin=hpa.format("v2", ""))
    contains(c.kubectl("delete", old, "h"), "deleted")

    pod = c.kubectl("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[0].metadata.name}")
    selected = c.kubectl_json("get", "events.v1.events.k8s.io", "--field-selector", f"regarding.kind=Pod,regarding.name={pod}")["items"]
    equal({e["regarding"]["name"] for e in selected}, {pod})
    contains([e["reason"] for e in selected], "Scheduled")
    same = c.kubectl("get", "events", "--field-selector", f"involvedObject.name={pod}", "-o", "name").splitlines()
    equal(len(same), len(selected))
    contains(c.kubectl("get", "events.v1.events.k8s.io", "--field-selector", "involvedObject.kind=Pod", check=False)[1], "field label not supported: involvedObject.kind")


def components_are_healthy():
    contains(c.kubectl("get", "cs", "etcd-0"), "Healthy")
    equal([i["conditions"][0]["status"] for i in c.kubectl_json("get", "componentstatuses")["items"]], ["True"] * 3)


def a_binding_may_be_posted_to_its_collection():
    c.kubectl("create", "-f", "-", stdin="apiVersion: v1\nkind: Pod\nmetadata: {name: by-hand}\nspec: {schedulerName: nobody, containers: [{name: c, image: i}]}\n")
    node = c.kubectl("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}")
    binding = '{"apiVersion":"v1","kind":"Binding","metadata":{"name":"by-hand"},"target":{"kind":"Node","name":"%s"}}' % node
    c.kubectl("create", "--raw", "/api/v1/namespaces/default/bindings", "-f", "-", stdin=binding)
    eventually("it runs", lambda: c.kubectl("get", "pod", "by-hand", "-o", "jsonpath={.spec.nodeName} {.status.phase}") == node + " Running")
    contains(c.kubectl("create", "--raw", "/api/v1/namespaces/default/bindings", "-f", "-", stdin=binding, check=False)[1], "already assigned")
    c.kubectl("delete", "pod", "by-hand", "--now")


def garbage_below_registry_is_no_object_and_harms_nobody():
    before = c.kubectl("get", "pods,cm", "-o", "name")
    for resource in ("configmaps", "pods"):
        c.etcdctl("put", f"/registry/{resource}/default/garbage", "not an object")
    c.etcdctl("put", "/registry/configmaps/default/overwritten", "x")
    equal(c.kubectl("get", "pods,cm", "-o", "name"), before)
    contains(c.kubectl("get", "cm", "garbage", check=False)[1], "NotFound")
    c.kubectl("create", "cm", "real", "--from-literal=a=b")
    c.etcdctl("put", "/registry/configmaps/default/real", "not an object")
    eventually("it is gone", lambda: "NotFound" in c.kubectl("get", "cm", "real", check=False)[1])
    c.etcdctl("del", "--prefix", "/registry/configmaps/default/real")
    equal(c.healthy(), True)


def labels_annotations_and_scale():
    c.kubectl("label", "deploy", "web", "tier=front")
    c.kubectl("annotate", "deploy", "web", "note=x")
    equal(c.kubectl("get", "deploy", "-l", "tier=front", "-o", "name"), "deployment.apps/web\n")
    c.kubectl("scale", "deploy", "web", "--replicas=5")
    eventually("five pods", lambda: running("app=web", 5))
    c.kubectl("scale", "rc", "rc", "--replicas=1")
    eventually("one pod", lambda: running("app=rc", 1))


def rollouts_go_forth_and_back():
    c.kubectl("set", "image", "deployment/web", "c=nginx:2")
    c.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    equal({p["spec"]["containers"][0]["image"] for p in c.kubectl_json("get", "pods", "-l", "app=web")["items"] if "deletionTimestamp" not in p["metadata"]}, {"nginx:2"})
    c.kubectl("rollout", "undo", "deployment/web")
    c.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    equal(c.kubectl("get", "deploy", "web", "-o", "jsonpath={.spec.template.spec.containers[0].image}"), "nginx:1")
    before = {p["metadata"]["name"] for p in c.kubectl_json("get", "pods", "-l", "app=web")["items"]}
    c.kubectl("rollout", "restart", "deployment/web")
    c.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    eventually("new pods only", lambda: not before & {p["metadata"]["name"] for p in c.kubectl_json("get", "pods", "-l", "app=web")["items"]})


def drain_moves_pods_away():
    c.kubectl("cordon", "hollow-node-0")
    contains(c.kubectl("get", "node", "hollow-node-0"), "SchedulingDisabled")
    c.kubectl("drain", "hollow-node-0", "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=60s", timeout=90)
    eventually("all pods run elsewhere", lambda: running("app=web", 5))
    on = {p["spec"]["nodeName"] for p in c.kubectl_json("get", "pods")["items"]}
    equal("hollow-node-0" in on, False)
    c.kubectl("uncordon", "hollow-node-0")


def deleting_cascades():
    c.kubectl("delete", "deploy", "web", "--cascade=foreground", "--timeout=30s")
    eventually("its replica sets and pods are gone", lambda: not c.kubectl_json("get", "rs,pods", "-l", "app=web")["items"])
    c.kubectl("delete", "rc", "rc", "--cascade=orphan")
    equal(len(c.kubectl_json("get", "pods", "-l", "app=rc")["items"]), 1)
    c.kubectl("delete", "pod", "-l", "app=rc", "--timeout=30s")


def a_namespace_takes_its_content_with_it():
    c.kubectl("create", "namespace", "gone")
    c.kubectl("create", "configmap", "x", "-n", "gone")
    eventually("a default service account", lambda: c.kubectl("get", "sa", "default", "-n", "gone", "-o", "name"))
    c.kubectl("delete", "namespace", "gone", "--timeout=30s", timeout=60)
    code, text = c.kubectl("get", "namespace", "gone", check=False)
    contains(text, "NotFound")


main([nodes_register_and_become_ready, workloads_come_up, get_in_every_form, a_watch_follows_changes, apply_twice_with_a_change,
      bad_manifests_are_refused_by_field, an_object_is_served_in_all_its_versions, components_are_healthy, a_binding_may_be_posted_to_its_collection,
      garbage_below_registry_is_no_object_and_harms_nobody, labels_annotations_and_scale, rollouts_go_forth_and_back, drain_moves_pods_away,
      deleting_cascades, a_namespace_takes_its_content_with_it])
