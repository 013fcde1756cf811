// A bridge from RabbitMQ to Fluentd, as one writes it in Go in a day: batches in Forward mode, each acknowledged to the
// broker once the server acknowledged it.
//
//	bridge '{"url": "amqps://…", "ca_file": FILE, "queue": …, "prefetch": …, "host": …, "port": …, "tag": …}'
//
// The logger of the package sends one event and waits for its ack.  A batch is sent over a connection of our own, with
// the package's messages.  Whatever goes wrong ends the process: the broker has everything, and systemd starts it again.
package main

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"os"
	"time"

	"github.com/fluent/fluent-logger-golang/fluent"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/tinylib/msgp/msgp"
)

const ackTimeout = 60 * time.Second

var options struct {
	URL      string
	CAFile   string `json:"ca_file"`
	Queue    string
	Prefetch int
	Host     string
	Port     int
	Tag      string
}

func main() {
	check(json.Unmarshal([]byte(os.Args[1]), &options))
	server, err := net.Dial("tcp", fmt.Sprintf("%s:%d", options.Host, options.Port))
	check(err)
	deliveries := consume()
	acks := msgp.NewReader(server)
	for delivery := range deliveries {
		batch := []amqp.Delivery{delivery}
		for more := true; more && len(batch) < options.Prefetch/2; {
			select {
			case next, open := <-deliveries:
				if more = open; open {
					batch = append(batch, next)
				}
			default:
				more = false
			}
		}
		send(server, acks, batch)
		check(batch[len(batch)-1].Ack(true))
	}
	log.Fatal("the broker closed the channel")
}

func consume() <-chan amqp.Delivery {
	authority, err := os.ReadFile(options.CAFile)
	check(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	connection, err := amqp.DialTLS(options.URL, &tls.Config{RootCAs: roots})
	check(err)
	channel, err := connection.Channel()
	check(err)
	check(channel.Qos(options.Prefetch, 0, false))
	deliveries, err := channel.Consume(options.Queue, "", false, false, false, false, nil)
	check(err)
	return deliveries
}

// Send a batch, and wait for its ack.
func send(server net.Conn, acks *msgp.Reader, batch []amqp.Delivery) {
	unique := make([]byte, 16)
	_, err := rand.Read(unique)
	check(err)
	chunk := base64.StdEncoding.EncodeToString(unique)
	message := fluent.Forward{Tag: options.Tag, Option: map[string]string{"chunk": chunk}}
	for _, delivery := range batch {
		seconds, record := decode(delivery.Body)
		message.Entries = append(message.Entries, fluent.Entry{Time: seconds, Record: record})
	}
	packed, err := message.MarshalMsg(nil)
	check(err)
	check(server.SetDeadline(time.Now().Add(ackTimeout)))
	_, err = server.Write(packed)
	check(err)
	var answer fluent.AckResp
	check(answer.DecodeMsg(acks))
	if answer.Ack != chunk {
		log.Fatalf("an ack for %q instead of %q", answer.Ack, chunk)
	}
}

// The time and the record of an event.
func decode(body []byte) (int64, interface{}) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber() // ids are beyond 2^53
	var record map[string]interface{}
	check(decoder.Decode(&record))
	exact(record)
	seconds, _ := record["timestamp"].(int64)
	return seconds, record
}

// What msgp can pack: integers as such, and floats for the other numbers.
func exact(value interface{}) interface{} {
	switch value := value.(type) {
	case map[string]interface{}:
		for key, inner := range value {
			value[key] = exact(inner)
		}
	case []interface{}:
		for index, inner := range value {
			value[index] = exact(inner)
		}
	case json.Number:
		if integer, err := value.Int64(); err == nil {
			return integer
		}
		float, err := value.Float64()
		check(err)
		return float
	}
	return value
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
