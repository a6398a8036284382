package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"image"
	"image/jpeg"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"imagery/infra/testing/asgsim"
	"imagery/infra/testing/pulumitest"
)

func photo(t *testing.T) []byte {
	var b bytes.Buffer
	m := image.NewRGBA(image.Rect(0, 0, 160, 120))
	for i := range m.Pix {
		m.Pix[i] = byte(i * i >> 8)
	}
	if err := jpeg.Encode(&b, m, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// render runs the Pulumi program with a binary and keeps the user-data under the next version. Only names that a cloud
// would give are put in; the difference is printed once.
func (r *rig) render(binary []byte) (g *pulumitest.Graph, version string) {
	r.Helper()
	config := map[string]string{"profile": "prod", "arch": "amd64", "serverType": "t3.small", "workerType": "c7i.large",
		"azs":   "eu-central-1a,eu-central-1b",
		"amiId": image1, "bootRetrySeconds": strconv.Itoa(int(r.options.retry / time.Second))}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.releases = append(r.releases, hash(binary))
	version = strconv.Itoa(len(r.releases))
	path := filepath.Join(r.dir, "release-"+version)
	r.must(os.WriteFile(path, binary, 0o755))
	g = run(r.T, "test", config, fakeBuild{path})
	for _, role := range roles {
		r.userData[version+role] = userData(r.T, g, role)
	}
	return g, version
}

// image1 is the image of every version.
const image1 = "ami-00000000000000001"

// release renders and uploads a release, as `pulumi up` does before its rollout, and returns its version. What is
// uploaded under the name of binary is content.
func (r *rig) release(binary, content []byte) (version string) {
	r.Helper()
	_, version = r.render(binary)
	r.publish(binary, content)
	r.tellTemplates()
	return version
}

// tellTemplates has the simulator know every version that was rendered.
func (r *rig) tellTemplates() {
	for _, role := range roles {
		var versions []asgsim.TemplateVersion
		for n := range r.releases {
			m := asgsim.Machine{Group: "-" + role, Version: strconv.Itoa(n + 1)}
			versions = append(versions, asgsim.TemplateVersion{Number: n + 1, Image: image1, UserData: r.userDataOf(m)})
		}
		r.sim.SetTemplate("lt-"+role, versions...)
	}
}

func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// userDataOf returns what a machine reads: the rendered bytes with the cloud's names.
func (r *rig) userDataOf(m asgsim.Machine) string {
	r.mu.Lock()
	text := r.userData[m.Version+m.Group[strings.LastIndex(m.Group, "-")+1:]]
	r.mu.Unlock()
	names := strings.NewReplacer(r.names...)
	var out []string
	for line := range strings.SplitSeq(text, "\n") {
		if name, value, ok := strings.Cut(line, "="); ok && name == "ENVIRONMENT" {
			env, err := base64.StdEncoding.DecodeString(value)
			if err != nil {
				panic(err) // it was rendered as base64
			}
			line = name + "=" + base64.StdEncoding.EncodeToString([]byte(names.Replace(string(env))))
		}
		out = append(out, names.Replace(line))
	}
	return strings.Join(out, "\n")
}

// publish puts bytes where machines look for the release that has the hash of named.
func (r *rig) publish(named, content []byte) {
	r.Helper()
	_, err := r.cloud.S3().PutObject(r.Context(), &s3.PutObjectInput{Bucket: aws.String("releases"),
		Key: aws.String("releases/" + hash(named) + "/imagery"), Body: bytes.NewReader(content)})
	r.must(err)
}
