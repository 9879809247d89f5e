package etcd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// attempts is how often a call is tried for certain within its timeout, if members of the
	// cluster do not answer at all.
	attempts = 3
	// firstWait and longestWait are between two attempts.
	firstWait   = 20 * time.Millisecond
	longestWait = 500 * time.Millisecond
)

// try calls attempt until it succeeds, fails for good, or the time is over. What it
// attempts may have taken effect though it failed, so it has to be something that can be done twice.
func (s *Store) try(ctx context.Context, what string, attempt func(context.Context) error) error {
	bounded, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	for wait := firstWait; ; wait = min(2*wait, longestWait) {
		err := s.once(bounded, attempt)
		if err == nil {
			return nil
		}
		if over := bounded.Err() != nil && isCancelled(err); !over && !isTemporary(err) {
			return fmt.Errorf("etcd: %s: %w", what, err)
		}
		pause := time.NewTimer(wait)
		select {
		case <-pause.C:
		case <-bounded.Done():
			pause.Stop()
			if ctx.Err() != nil {
				return fmt.Errorf("etcd: %s: %w", what, context.Cause(ctx))
			}
			return fmt.Errorf("%w: %s: no success within %v: %w", ErrUnavailable, what, s.config.Timeout, err)
		}
	}
}

func (s *Store) once(ctx context.Context, attempt func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout/attempts)
	defer cancel()
	return attempt(ctx)
}

// isTemporary reports whether another attempt, at another member or after an
// election, may succeed.
func isTemporary(err error) bool {
	code := codeOf(err)
	return code == codes.Unavailable || code == codes.DeadlineExceeded || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, errLeaseLost)
}

// isCancelled reports whether an attempt was given up from this side.
func isCancelled(err error) bool {
	return codeOf(err) == codes.Canceled || errors.Is(err, context.Canceled)
}

// codeOf returns the code of an error of gRPC or of etcd's client.
func codeOf(err error) codes.Code {
	var coded interface{ Code() codes.Code }
	if errors.As(err, &coded) {
		return coded.Code()
	}
	return status.Code(err)
}
