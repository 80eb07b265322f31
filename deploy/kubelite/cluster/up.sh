#!/bin/bash
# Start a real control plane on loopback, with KWOK as its kubelets.   usage: KUBELITE=path/to/kubelite up.sh DIR
#
# Leaves DIR/kubeconfig (cluster-admin), DIR/pids ("pid name" per line, for down.sh) and DIR/log/*.log, and returns when
# the API server answers /readyz. Needs the binary, openssl and curl; nothing from the Go module cache.
# PORT is the first of seven consecutive ports. The other settings, all optional:
#   ETCD_DIR          where etcd keeps its data (a folder under /dev/shm is kindest to the disk)   default DIR/etcd
#   WITH_KWOK=0       no KWOK: the caller plays the kubelets itself
#   WITH_METRICS=1    metrics-server as well
#   EVENT_TTL, COMPACT, NODE_GRACE                            durations of event TTL, etcd compaction, node grace period
#   APISERVER_EXTRA, CONTROLLERS_EXTRA                        further flags, split at spaces
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dir=${1:?usage: up.sh DIR}; mkdir -p "$dir"; dir=$(cd "$dir" && pwd)
binary=${KUBELITE:?path of the kubelite binary, see ensure.sh}

port=${PORT:-16443}
etcd_port=$((port + 1)) peer_port=$((port + 2)) kwok_port=$((port + 3))
controllers_port=$((port + 4)) scheduler_port=$((port + 5)) metrics_port=$((port + 6))
pki=$dir/pki kubeconfig=$dir/kubeconfig
mkdir -p "$pki" "$dir/log"; : > "$dir/pids"

key() { openssl ecparam -name prime256v1 -genkey -noout -out "$pki/$1.key"; }
authority() { key "$1"; openssl req -x509 -new -key "$pki/$1.key" -subj "/CN=$2" -days 3650 -out "$pki/$1.crt"; }
certificate() { # name, authority, subject, extensions
  key "$1"
  openssl req -new -key "$pki/$1.key" -subj "$3" -out "$pki/$1.csr"
  printf '%b\n' "$4" > "$pki/$1.ext"
  openssl x509 -req -in "$pki/$1.csr" -CA "$pki/$2.crt" -CAkey "$pki/$2.key" -CAcreateserial -days 3650 \
    -extfile "$pki/$1.ext" -out "$pki/$1.crt" 2>/dev/null
}
if [ ! -f "$pki/sa.key" ]; then
  server="subjectAltName=IP:127.0.0.1,IP:10.0.0.1,DNS:localhost,DNS:kubernetes.default.svc\nextendedKeyUsage=serverAuth"
  authority ca kubelite-ca
  authority front-ca kubelite-front-proxy-ca
  certificate apiserver ca /CN=kube-apiserver "$server"
  certificate kubelet ca /CN=kwok "subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth"
  certificate admin ca /O=system:masters/CN=admin "extendedKeyUsage=clientAuth"
  certificate front front-ca /CN=front-proxy-client "extendedKeyUsage=clientAuth"
  openssl genrsa -out "$pki/sa.key" 2048 2>/dev/null
fi

cat > "$kubeconfig" <<KUBECONFIG
apiVersion: v1
kind: Config
clusters: [{name: kubelite, cluster: {server: "https://127.0.0.1:$port", certificate-authority: $pki/ca.crt}}]
users: [{name: admin, user: {client-certificate: $pki/admin.crt, client-key: $pki/admin.key}}]
contexts: [{name: kubelite, context: {cluster: kubelite, user: admin}}]
current-context: kubelite
KUBECONFIG

start() { # component, flags
  local name=$1; shift
  setsid "$binary" "$name" "$@" > "$dir/log/$name.log" 2>&1 < /dev/null &
  echo "$! $name" >> "$dir/pids"
}
as_admin=(--kubeconfig="$kubeconfig" --authentication-kubeconfig="$kubeconfig" --authorization-kubeconfig="$kubeconfig")

start etcd --data-dir="${ETCD_DIR:-$dir/etcd}" --unsafe-no-fsync --log-level=warn --quota-backend-bytes=8589934592 \
  --listen-client-urls="http://127.0.0.1:$etcd_port" --advertise-client-urls="http://127.0.0.1:$etcd_port" \
  --listen-peer-urls="http://127.0.0.1:$peer_port" --initial-advertise-peer-urls="http://127.0.0.1:$peer_port" \
  --initial-cluster="default=http://127.0.0.1:$peer_port"

# An address from the documentation range and no endpoint reconciler: the server then needs no real interface.
# shellcheck disable=SC2086
start kube-apiserver --etcd-servers="http://127.0.0.1:$etcd_port" --etcd-compaction-interval="${COMPACT:-5m0s}" \
  --event-ttl="${EVENT_TTL:-1h0m0s}" --bind-address=127.0.0.1 --secure-port="$port" \
  --advertise-address=192.0.2.1 --endpoint-reconciler-type=none --authorization-mode=Node,RBAC \
  --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" --client-ca-file="$pki/ca.crt" \
  --service-cluster-ip-range=10.0.0.0/16 --service-account-issuer=https://kubernetes.default.svc \
  --service-account-key-file="$pki/sa.key" --service-account-signing-key-file="$pki/sa.key" \
  --requestheader-client-ca-file="$pki/front-ca.crt" --requestheader-allowed-names=front-proxy-client \
  --requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group \
  --requestheader-extra-headers-prefix=X-Remote-Extra- \
  --proxy-client-cert-file="$pki/front.crt" --proxy-client-key-file="$pki/front.key" \
  --kubelet-client-certificate="$pki/admin.crt" --kubelet-client-key="$pki/admin.key" \
  --kubelet-preferred-address-types=InternalIP \
  --max-requests-inflight=1500 --max-mutating-requests-inflight=1000 ${APISERVER_EXTRA:-}

ready=0
for _ in $(seq 600); do
  if curl -sf --cacert "$pki/ca.crt" --cert "$pki/admin.crt" --key "$pki/admin.key" \
      "https://127.0.0.1:$port/readyz" > /dev/null 2>&1; then ready=1; break; fi
  sleep 0.1
done
[ "$ready" = 1 ] || { echo "kube-apiserver is not ready after 60 s, see $dir/log/kube-apiserver.log" >&2; exit 1; }

# shellcheck disable=SC2086
start kube-controller-manager "${as_admin[@]}" --bind-address=127.0.0.1 --secure-port="$controllers_port" \
  --leader-elect=false --service-account-private-key-file="$pki/sa.key" --root-ca-file="$pki/ca.crt" \
  --kube-api-qps=500 --kube-api-burst=1000 --node-monitor-grace-period="${NODE_GRACE:-50s}" ${CONTROLLERS_EXTRA:-}
start kube-scheduler "${as_admin[@]}" --bind-address=127.0.0.1 --secure-port="$scheduler_port" --leader-elect=false \
  --kube-api-qps=1000 --kube-api-burst=2000

if [ "${WITH_KWOK:-1}" = 1 ]; then
  now=$(date -u +%Y-%m-%dT%H:%M:%S.%NZ)
  for line in $(seq 200); do echo "$now stdout F line $line of a log"; done > "$dir/container.log"
  echo "$now stderr F panic: the container before this one died" > "$dir/container-previous.log"
  for stage in "$here"/stages/*.yaml; do cat "$stage"; echo ---; done > "$dir/kwok.yaml"
  sed "s#@DIR@#$dir#" "$here/logs.yaml" >> "$dir/kwok.yaml"
  start kwok --kubeconfig="$kubeconfig" --config="$dir/kwok.yaml" --manage-all-nodes=true --cidr=10.244.0.0/16 \
    --node-ip=127.0.0.1 --node-port="$kwok_port" --server-address="127.0.0.1:$kwok_port" \
    --node-lease-duration-seconds=40 \
    --tls-cert-file="$pki/kubelet.crt" --tls-private-key-file="$pki/kubelet.key"
fi
if [ "${WITH_METRICS:-0}" = 1 ]; then
  start metrics-server "${as_admin[@]}" --bind-address=127.0.0.1 --secure-port="$metrics_port" \
    --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" \
    --kubelet-preferred-address-types=InternalIP --kubelet-use-node-status-port --kubelet-insecure-tls \
    --metric-resolution=10s --kubelet-request-timeout=3s # the resolution has to exceed the timeout
  sed "s/@PORT@/$metrics_port/" "$here/metrics-apiservice.yaml" > "$dir/metrics-apiservice.yaml"
  "$binary" kubectl --kubeconfig="$kubeconfig" apply -f "$dir/metrics-apiservice.yaml" > /dev/null
fi
echo "export KUBECONFIG=$kubeconfig"
