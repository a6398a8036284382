// Package release builds the binary, uploads it under its SHA-256, and renders the user-data with which an instance
// downloads, verifies and starts it. An update never changes or deletes an older release.
package release

import (
	"fmt"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/s3"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"imagery/infra/must"
)

// Prefix is the key prefix of releases in their bucket.
const Prefix = "releases/"

// Binary is a built release.
type Binary struct {
	Path string
	SHA  string // lower-case hex SHA-256, as in GET /version
}

// Make builds the binary, in previews too: they need the hash to show what would change.
func Make(ctx *pulumi.Context, b Builder, arch string) (Binary, error) {
	path, err := b.Build(ctx.Context(), ctx.RootDirectory(), arch)
	if err != nil {
		return Binary{}, err
	}
	sha, err := sum(path)
	return Binary{path, sha}, err
}

// Key returns the object's key.
func (b Binary) Key() string { return fmt.Sprintf("%s%s/imagery", Prefix, b.SHA) }

// Upload stores the binary. It keeps the objects of older releases: instances of an older launch template version
// download them, in a rollback and in a scale-out before the rollout.
func (b Binary) Upload(
	ctx *pulumi.Context, name string, bucket pulumi.StringInput, opts ...pulumi.ResourceOption,
) *s3.BucketObjectv2 {
	return must.Get(s3.NewBucketObjectv2(ctx, name, &s3.BucketObjectv2Args{
		Bucket:      bucket,
		Key:         pulumi.String(b.Key()),
		Source:      pulumi.NewFileAsset(b.Path),
		ContentType: pulumi.String("application/octet-stream"),
	}, append(opts, pulumi.RetainOnDelete(true))...))
}
