// Kubelets for nodes that have none: /stats/summary over TLS, on the real Go types, one port per node.
//
// KWOK plays pods and nodes but measures nothing. This program asks the API server which nodes and pods there are and
// answers as their kubelets would: documents of the true shape (k8s.io/kubelet/pkg/apis/stats/v1alpha1), tokens checked
// by TokenReview, the right to get nodes/stats by SubjectAccessReview. Numbers are made up, and grow: a node's disk by
// 1 MiB a second, a container's memory by 64 KiB. Prints "<node> <port>" a line, then "ready".
package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sort"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
)

const (
	gib   = uint64(1) << 30
	mib   = uint64(1) << 20
	fresh = 10 * time.Second // how old the list of pods may be, as a kubelet's own sync
)

type object struct {
	Metadata struct {
		Name, Namespace, UID string
	}
	Spec struct {
		NodeName   string
		Containers []struct{ Name string }
		Volumes    []struct {
			Name                  string
			PersistentVolumeClaim *struct{ ClaimName string }
		}
	}
	Status struct {
		Phase string
	}
}

// apiserver is the little of a client that is needed.
type apiserver struct {
	url    string
	client *http.Client

	lock   sync.Mutex
	listed time.Time
	pods   map[string][]object // by node
}

func (a *apiserver) call(method, path string, body, answer any) error {
	var sent io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		sent = bytes.NewReader(text)
	}
	request, err := http.NewRequest(method, a.url+path, sent)
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	reply, err := a.client.Do(request)
	if err != nil {
		return err
	}
	defer reply.Body.Close()
	if reply.StatusCode >= 300 {
		return fmt.Errorf("%s %s: HTTP %d", method, path, reply.StatusCode)
	}
	return json.NewDecoder(reply.Body).Decode(answer)
}

func (a *apiserver) list(path string) ([]object, error) {
	var found struct{ Items []object }
	err := a.call("GET", path, nil, &found)
	return found.Items, err
}

func (a *apiserver) podsOf(node string) ([]object, error) {
	a.lock.Lock()
	defer a.lock.Unlock()
	if time.Since(a.listed) > fresh {
		all, err := a.list("/api/v1/pods")
		if err != nil {
			return nil, err
		}
		a.pods, a.listed = map[string][]object{}, time.Now()
		for _, pod := range all {
			a.pods[pod.Spec.NodeName] = append(a.pods[pod.Spec.NodeName], pod)
		}
	}
	return a.pods[node], nil
}

// refusal says why the bearer of a token may not read a node's stats: 0 where it may.
func (a *apiserver) refusal(token, node string) (int, string) {
	var review struct {
		Status struct {
			Authenticated bool
			User          struct {
				Username string
				Groups   []string
			}
		}
	}
	asked := map[string]any{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
		"spec": map[string]any{"token": token}}
	err := a.call("POST", "/apis/authentication.k8s.io/v1/tokenreviews", asked, &review)
	if err != nil || !review.Status.Authenticated {
		return http.StatusUnauthorized, "Unauthorized"
	}
	var access struct{ Status struct{ Allowed bool } }
	user := review.Status.User
	asked = map[string]any{"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
		"spec": map[string]any{"user": user.Username, "groups": user.Groups, "resourceAttributes": map[string]any{
			"verb": "get", "resource": "nodes", "subresource": "stats", "name": node}}}
	err = a.call("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", asked, &access)
	if err != nil || !access.Status.Allowed {
		return http.StatusForbidden, fmt.Sprintf(
			"Forbidden (user=%s, verb=get, resource=nodes, subresource(s)=[stats])", user.Username)
	}
	return 0, ""
}

type kubelet struct {
	api   *apiserver
	node  string
	began time.Time
}

func (k *kubelet) ServeHTTP(reply http.ResponseWriter, request *http.Request) {
	if request.URL.Path != "/stats/summary" {
		http.NotFound(reply, request)
		return
	}
	token, bears := strings.CutPrefix(request.Header.Get("Authorization"), "Bearer ")
	if !bears {
		http.Error(reply, "Unauthorized", http.StatusUnauthorized)
		return
	}
	if code, text := k.api.refusal(token, k.node); code != 0 {
		http.Error(reply, text, code)
		return
	}
	pods, err := k.api.podsOf(k.node)
	if err != nil {
		http.Error(reply, err.Error(), http.StatusInternalServerError)
		return
	}
	reply.Header().Set("Content-Type", "application/json")
	writer := json.NewEncoder(reply)
	writer.SetIndent("", " ") // as kubelets do
	_ = writer.Encode(k.summary(pods, metav1.Now()))
}

func (k *kubelet) summary(pods []object, now metav1.Time) stats.Summary {
	lasted := uint64(time.Since(k.began).Seconds())
	start := metav1.NewTime(k.began)
	disk := filesystem(now, 20*gib+lasted*mib, 100*gib)
	summary := stats.Summary{
		Node: stats.NodeStats{
			NodeName:  k.node,
			StartTime: start,
			CPU:       &stats.CPUStats{Time: now, UsageNanoCores: to(800_000_000), UsageCoreNanoSeconds: to(lasted * 8e8)},
			Memory: &stats.MemoryStats{Time: now, AvailableBytes: to(12 * gib), UsageBytes: to(5 * gib),
				WorkingSetBytes: to(4 * gib), RSSBytes: to(3 * gib), PageFaults: to(1000), MajorPageFaults: to(0)},
			Fs:      disk,
			Runtime: &stats.RuntimeStats{ImageFs: filesystem(now, 10*gib, 100*gib), ContainerFs: disk},
			Rlimit:  &stats.RlimitStats{Time: now, MaxPID: signed(4194304), NumOfRunningProcesses: signed(int64(200 + 3*len(pods)))},
		},
		Pods: []stats.PodStats{},
	}
	for _, pod := range pods {
		if pod.Status.Phase == "Running" {
			summary.Pods = append(summary.Pods, podStats(pod, start, now, lasted))
		}
	}
	return summary
}

func podStats(pod object, start, now metav1.Time, lasted uint64) stats.PodStats {
	told := stats.PodStats{
		PodRef:    stats.PodReference{Name: pod.Metadata.Name, Namespace: pod.Metadata.Namespace, UID: pod.Metadata.UID},
		StartTime: start, Containers: []stats.ContainerStats{},
	}
	memory := 64*mib + lasted*64*1024
	for _, container := range pod.Spec.Containers {
		told.Containers = append(told.Containers, stats.ContainerStats{
			Name: container.Name, StartTime: start,
			CPU:    &stats.CPUStats{Time: now, UsageNanoCores: to(50_000_000)},
			Memory: &stats.MemoryStats{Time: now, WorkingSetBytes: to(memory), UsageBytes: to(memory), RSSBytes: to(memory)},
			Rootfs: filesystem(now, mib, 100*gib), Logs: filesystem(now, mib, 100*gib),
		})
	}
	for _, volume := range pod.Spec.Volumes {
		if claim := volume.PersistentVolumeClaim; claim != nil {
			told.VolumeStats = append(told.VolumeStats, stats.VolumeStats{
				FsStats: *filesystem(now, gib+lasted*mib, 10*gib), Name: volume.Name,
				PVCRef: &stats.PVCReference{Name: claim.ClaimName, Namespace: pod.Metadata.Namespace},
			})
		}
	}
	return told
}

func filesystem(now metav1.Time, used, capacity uint64) *stats.FsStats {
	used = min(used, capacity)
	return &stats.FsStats{Time: now, AvailableBytes: to(capacity - used), CapacityBytes: to(capacity), UsedBytes: to(used),
		InodesFree: to(6_000_000), Inodes: to(6_553_600), InodesUsed: to(553_600)}
}

func to(value uint64) *uint64   { return &value }
func signed(value int64) *int64 { return &value }

func connect(url, ca, certificate, key string) (*apiserver, error) {
	authority, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(authority)
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted, Certificates: []tls.Certificate{pair}}}
	return &apiserver{url: url, client: &http.Client{Transport: transport, Timeout: 10 * time.Second}}, nil
}

func main() {
	url := flag.String("apiserver", "", "https://host:port")
	ca := flag.String("ca", "", "CA of the API server")
	certificate := flag.String("cert", "", "client certificate that may list pods and review tokens")
	key := flag.String("key", "", "its key")
	servingCertificate := flag.String("serving-cert", "", "certificate of the kubelets")
	servingKey := flag.String("serving-key", "", "its key")
	flag.Parse()
	api, err := connect(*url, *ca, *certificate, *key)
	if err != nil {
		log.Fatal(err)
	}
	nodes, err := api.list("/api/v1/nodes")
	if err != nil {
		log.Fatal(err)
	}
	sort.Slice(nodes, func(i, j int) bool { return nodes[i].Metadata.Name < nodes[j].Metadata.Name })
	for _, node := range nodes {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			log.Fatal(err)
		}
		served := &kubelet{api: api, node: node.Metadata.Name, began: time.Now()}
		server := &http.Server{Handler: served, ErrorLog: log.New(io.Discard, "", 0)}
		go func() { log.Fatal(server.ServeTLS(listener, *servingCertificate, *servingKey)) }()
		fmt.Println(node.Metadata.Name, listener.Addr().(*net.TCPAddr).Port)
	}
	fmt.Println("ready")
	select {}
}
