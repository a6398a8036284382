package aws_test

import (
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"imagery/app/imagery"
	"imagery/app/testing/fakeaws"
)

func text(v string) types.AttributeValue { return &types.AttributeValueMemberS{Value: v} }

func number(v int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(v, 10)}
}

func putItem(t *testing.T, at *fakeaws.Cloud, table string, item map[string]types.AttributeValue) {
	t.Helper()
	_, err := at.DynamoDB().PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &table, Item: item})
	must(t, err)
}

// The original application writes fewer attributes, and keys of another form; its images continue with this service.
func TestItemsOfTheOriginalApplication(t *testing.T) {
	t.Parallel()
	at, stack, b := started(t)
	created := time.UnixMilli(1700000000123)
	id := imagery.NewID()
	putItem(t, at, stack.Table, map[string]types.AttributeValue{
		"id": text(id), "version": number(0), "created": number(created.UnixMilli()), "state": text("created")})
	img, err := b.Catalog().Get(t.Context(), id)
	must(t, err)
	if want := (imagery.Image{ID: id, State: imagery.Created, Created: created, Updated: created}); !same(img, want) {
		t.Errorf("read %+v, want %+v", img, want)
	}
	to := uploaded(img)
	must(t, b.Catalog().Move(t.Context(), img, to))

	other := imagery.NewID()
	putItem(t, at, stack.Table, map[string]types.AttributeValue{
		"id": text(other), "version": number(1), "created": number(created.UnixMilli()), "state": text("uploaded"),
		"rawS3Key": text("upload/" + other + "-1700000000999"),
		"tags":     &types.AttributeValueMemberSS{Value: []string{"kept"}}})
	img, err = b.Catalog().Get(t.Context(), other)
	must(t, err)
	if img.State != imagery.Uploaded || img.RawKey != "upload/"+other+"-1700000000999" {
		t.Fatalf("read %+v", img)
	}
	if !img.Unlisted {
		t.Error("it is not known that the index does not list it")
	}
	adopted := img
	adopted.Unlisted = false
	must(t, b.Catalog().Move(t.Context(), img, adopted))
	list, _, err := b.Catalog().Pending(t.Context(), other[:1], created, created, "", 10)
	must(t, err)
	if len(list) != 1 || list[0].ID != other {
		t.Errorf("the index lists %+v", list)
	}
	if img, err = b.Catalog().Get(t.Context(), other); err != nil || img.Unlisted {
		t.Errorf("adopted: %+v, %v", img, err)
	}
	to = img
	to.Version, to.State, to.Updated = 2, imagery.Processed, time.UnixMilli(1700000001000)
	to.ProcessedKey = imagery.ProcessedKey(other, "hash", "png")
	must(t, b.Catalog().Move(t.Context(), img, to))
	stored, err := b.Catalog().Get(t.Context(), other)
	must(t, err)
	if !same(stored, to) {
		t.Errorf("stored is %+v, want %+v", stored, to)
	}
	if v, ok, err := attribute(at, stack.Table, other, "tags"); !ok || err != nil {
		t.Errorf("an unknown attribute became %q, %v", v, err)
	}
}

// An item with an attribute of the wrong type is a transient error.
func TestUnreadableItem(t *testing.T) {
	t.Parallel()
	at, stack, b := started(t)
	id := imagery.NewID()
	putItem(t, at, stack.Table,
		map[string]types.AttributeValue{"id": text(id), "version": text("seven"), "state": text("created")})
	if _, err := b.Catalog().Get(t.Context(), id); err == nil || named(err) {
		t.Errorf("got %v, want a transient error", err)
	}
}

// A cursor stays valid if its row is removed or moved before the next page is read.
func TestPendingContinuesAfterRemovedRow(t *testing.T) {
	t.Parallel()
	_, _, b := started(t)
	var all []imagery.Image
	for i := range 4 {
		img := newImage()
		img.ID = "a" + img.ID[1:]
		img.Updated = img.Updated.Add(time.Duration(i) * time.Second)
		must(t, b.Catalog().Create(t.Context(), img, time.Now()))
		to := uploaded(img)
		must(t, b.Catalog().Move(t.Context(), img, to))
		all = append(all, to)
	}
	before := time.Now().Add(time.Hour)
	list, next, err := b.Catalog().Pending(t.Context(), "a", time.Time{}, before, "", 2)
	must(t, err)
	if len(list) != 2 || next == "" {
		t.Fatalf("first page %v, next %q", list, next)
	}
	failed := all[1]
	failed.Version, failed.State, failed.Error = 2, imagery.Failed, "It is gone."
	must(t, b.Catalog().Move(t.Context(), all[1], failed))
	list, _, err = b.Catalog().Pending(t.Context(), "a", time.Time{}, before, next, 10)
	must(t, err)
	if len(list) != 2 || list[0].ID != all[2].ID || list[1].ID != all[3].ID {
		t.Errorf("second page %v", list)
	}
	if _, _, err := b.Catalog().Pending(t.Context(), "a", time.Time{}, before, "no cursor", 10); err == nil {
		t.Error("an invalid cursor was accepted")
	}
}

func TestDeleteItemAndObject(t *testing.T) {
	t.Parallel()
	_, _, b := started(t)
	img := newImage()
	must(t, b.Catalog().Create(t.Context(), img, time.Now()))
	must(t, put(t, b, "selftest/x", []byte("x")))
	for range 2 { // deleting again is not an error
		must(t, b.DeleteItem(t.Context(), img.ID))
		must(t, b.DeleteObject(t.Context(), "selftest/x"))
	}
	if _, err := b.Catalog().Get(t.Context(), img.ID); !errors.Is(err, imagery.ErrNotFound) {
		t.Errorf("the item is still there: %v", err)
	}
	if _, err := b.Blobs().Get(t.Context(), "selftest/x", 10); !errors.Is(err, imagery.ErrNotFound) {
		t.Errorf("the object is still there: %v", err)
	}
}

// same compares two images except for their history.
func same(a, b imagery.Image) bool {
	return a.ID == b.ID && a.Version == b.Version && a.State == b.State &&
		a.Created.Equal(b.Created) && a.Updated.Equal(b.Updated) && a.Hinted.Equal(b.Hinted) && a.Expires.Equal(b.Expires) &&
		a.RawKey == b.RawKey && a.ProcessedKey == b.ProcessedKey && a.Warning == b.Warning &&
		a.Error == b.Error
}
