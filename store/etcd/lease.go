package etcd

import (
	"context"
	"errors"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// errLeaseLost stands for etcd's not knowing a lease that it has granted.
var errLeaseLost = rpctypes.ErrLeaseNotFound

// A lease ends sessions that are not saved any more. One of its own for each save would
// cost as much as the save: so all saves of a period share one, and the next period gets another.
type lease struct {
	period time.Duration
	ttl    int64 // seconds

	holder chan struct{} // holds a token while the fields below are used
	id     clientv3.LeaseID
	until  time.Time
}

func newLease(maxAge time.Duration) lease {
	period := maxAge / 24
	return lease{
		period: period,
		ttl:    int64((maxAge + period + time.Second - 1) / time.Second),
		holder: make(chan struct{}, 1),
	}
}

// get returns the lease of the present period.
func (l *lease) get(ctx context.Context, client *clientv3.Client) (clientv3.LeaseID, error) {
	select {
	case l.holder <- struct{}{}:
		defer func() { <-l.holder }()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	now := time.Now()
	if l.id != clientv3.NoLease && now.Before(l.until) {
		return l.id, nil
	}
	granted, err := client.Grant(ctx, l.ttl)
	if err != nil {
		return 0, err
	}
	l.id, l.until = granted.ID, now.Add(l.period)
	return l.id, nil
}

// drop forgets a lease that etcd does not know any more, as when it was restored from a backup.
func (l *lease) drop(id clientv3.LeaseID, err error) {
	if !errors.Is(err, errLeaseLost) {
		return
	}
	l.holder <- struct{}{}
	defer func() { <-l.holder }()
	if l.id == id {
		l.id = clientv3.NoLease
	}
}
