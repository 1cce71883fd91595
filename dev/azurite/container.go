package azurite

import (
	"context"
	"fmt"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
)

const (
	readyWithin = 30 * time.Second
	readyPause  = 50 * time.Millisecond
)

// CreateContainer creates a container; one that exists is left as it is.
func (s *Server) CreateContainer(ctx context.Context, name string) error {
	c, err := s.client(time.Second)
	if err != nil {
		return err
	}
	_, err = c.CreateContainer(ctx, name, nil)
	if err != nil && !bloberror.HasCode(err, bloberror.ContainerAlreadyExists) {
		return fmt.Errorf("azurite: create container %s: %w", name, err)
	}
	return nil
}

// waitReady returns when Azurite has answered a signed listing.
func (s *Server) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	c, err := s.client(0)
	if err != nil {
		return err
	}
	for {
		_, err := c.NewListContainersPager(nil).NextPage(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-s.Done():
			return s.Err()
		case <-ctx.Done():
			return fmt.Errorf("no answer from %s within %v: %w", s.URL(), readyWithin, err)
		case <-time.After(readyPause):
		}
	}
}

// client retries with the given delay, or, when that is zero, not at all.
func (s *Server) client(delay time.Duration) (*azblob.Client, error) {
	retry := policy.RetryOptions{MaxRetries: -1}
	if delay > 0 {
		retry = policy.RetryOptions{RetryDelay: delay}
	}
	return azblob.NewClientFromConnectionString(s.ConnectionString(), &azblob.ClientOptions{
		ClientOptions: azcore.ClientOptions{Retry: retry},
	})
}
