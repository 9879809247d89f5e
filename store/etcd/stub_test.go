package etcd

func runResponder(string) {}
