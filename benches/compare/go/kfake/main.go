// Kfake serves franz-go's in-memory broker on one address; with a directory it keeps its data there.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/twmb/franz-go/pkg/kfake"
)

// Usage: kfake PORT DIRECTORY [sync]
func main() {
	port, err := strconv.Atoi(os.Args[1])
	if err != nil {
		panic(err)
	}
	options := []kfake.Opt{kfake.Ports(port), kfake.NumBrokers(1), kfake.DataDir(os.Args[2])}
	if len(os.Args) > 3 && os.Args[3] == "sync" {
		options = append(options, kfake.SyncWrites())
	}
	cluster, err := kfake.NewCluster(options...)
	if err != nil {
		panic(err)
	}
	fmt.Println("ready", cluster.ListenAddrs())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	<-signals
	cluster.Close()
}
