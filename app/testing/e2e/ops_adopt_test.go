package e2e

import (
	"context"
	"encoding/json"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"imagery/app/admin/fsck"
	"imagery/app/imagery"
)

// addLegacy stores an unfinished image as the original application does, and returns its id.
func (d *deployment) addLegacy(ago time.Duration) (id string) {
	d.Helper()
	id = imagery.NewID()
	created, key := time.Now().Add(-ago).UnixMilli(), "upload/"+id+"-1700000000000"
	d.putObject(key, encodeJPEG(d, scene(1, 60, 40)))
	var err error
	if d.data == "" {
		text := func(v string) types.AttributeValue { return &types.AttributeValueMemberS{Value: v} }
		_, err = d.aws.DynamoDB().PutItem(d.Context(), &dynamodb.PutItemInput{TableName: &d.aws.Table,
			Item: map[string]types.AttributeValue{"id": text(id), "state": text("uploaded"), "rawS3Key": text(key),
				"version": &types.AttributeValueMemberN{Value: "1"},
				"created": &types.AttributeValueMemberN{Value: strconv.FormatInt(created, 10)}}})
	} else {
		var item []byte
		if item, err = json.Marshal(map[string]any{"id": id, "state": "uploaded", "rawS3Key": key, "version": 1,
			"created": created}); err == nil {
			db := (&program{data: d.data}).table(d.T)
			_, err = db.Exec("INSERT INTO images (item) VALUES (?)", string(item))
		}
	}
	if err != nil {
		d.Fatal(err)
	}
	return id
}

// TestAdoption takes over unfinished images of the original application whose messages are lost. One is read by a user,
// the other one by nobody but fsck --adopt; both are processed.
func TestAdoption(t *testing.T) {
	t.Parallel()
	onBothBackends(t, quick, func(d *deployment) {
		read, unread := d.addLegacy(40*24*time.Hour), d.addLegacy(time.Hour)
		out, _ := d.run(0, "fsck")
		d.contains(out, read, unread, "unlisted 2: imagery fsck --adopt")
		var r fsckReport
		d.expectUnchanged(func() { d.runJSON(0, &r, "fsck", "--adopt", "--dry-run") })
		if len(r.Repairs) != 2 || r.Repairs[0].Action != "adopt" || r.Repairs[0].Done {
			d.Errorf("a dry run: %+v", r)
		}
		fleet := d.fleet()
		c := newClient(d, fleet.url)
		ctx, cancel := context.WithTimeout(d.Context(), 5*time.Minute)
		defer cancel()
		if v, err := c.final(ctx, read); err != nil || v.State != "processed" || v.Version != 2 {
			d.Errorf("read by a user: %+v, %v", v, err)
		}
		if img := d.get(unread); img.State != imagery.Uploaded {
			d.Errorf("nobody has read %+v", img)
		}
		d.runJSON(0, &r, "fsck", "--adopt")
		if len(r.Repairs) != 1 || r.Repairs[0].Image != unread || r.Repairs[0].Action != "adopt" || !r.Repairs[0].Done {
			d.Errorf("adopted: %+v", r)
		}
		for d.get(unread).State != imagery.Processed {
			if ctx.Err() != nil {
				d.Fatalf("not processed: %+v", d.get(unread))
			}
			time.Sleep(100 * time.Millisecond)
		}
		fleet.stop(d)
		if d.runJSON(0, &r, "fsck"); r.Counts[fsck.Unlisted] != 0 || len(r.Findings) != 0 {
			d.Errorf("in the end: %+v", r)
		}
	})
}
