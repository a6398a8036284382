package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"imagery/app/client"
)

// formats sends a photo of each format through the load balancer, each request once.
func formats(ctx context.Context, t *T) error {
	once := client.New(t.current.URL)
	var errs []error
	for _, p := range append(t.pictures.formats, t.pictures.large) {
		begun := time.Now()
		if err := t.send(ctx, once, p); err != nil {
			errs = append(errs, err)
			continue
		}
		t.figure("%s, %d × %d, came back within %.1f s", p.name, p.size.X, p.size.Y, time.Since(begun).Seconds())
	}
	return errors.Join(errs...)
}

// send uploads a photo, waits for its result and checks it.
func (t *T) send(ctx context.Context, c *client.Client, p picture) error {
	id := newID()
	img, err := c.Create(ctx, id)
	if err == nil {
		img, err = c.Upload(ctx, id, p.name, p.data)
	}
	if err != nil {
		return fmt.Errorf("send %s: %w", p.name, err)
	}
	t.accepted(id, p)
	limited, cancel := context.WithTimeout(ctx, processTimeout)
	defer cancel()
	if _, err := c.Wait(limited, img); err != nil {
		return fmt.Errorf("wait for %s: %w", p.name, err)
	}
	return checkOne(ctx, c, id, p)
}
