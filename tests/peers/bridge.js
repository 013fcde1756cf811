// A bridge from RabbitMQ to Fluentd, as one writes it in Node in a day: amqplib and @fluent-org/logger, which batches by
// itself; each event is acknowledged to the broker once the server acknowledged its chunk, and goes back otherwise.
//
//   node bridge.js '{"url": "amqps://…", "ca_file": FILE, "queue": …, "prefetch": …, "host": …, "port": …, "tag": …}'
//
// When the broker closes the connection the process ends: the broker has everything, and systemd starts it again.
"use strict";

const fs = require("fs");
const amqplib = require("amqplib");
const {FluentClient} = require("@fluent-org/logger");

// The default, half a second, sends twice what a busy server acknowledges a little later.
const ACK_TIMEOUT_MS = 10000;

async function main({url, ca_file, queue, prefetch, host, port, tag}) {
  const client = new FluentClient(tag, {
    ack: {ackTimeout: ACK_TIMEOUT_MS},
    milliseconds: true,
    socket: {host, port, reconnect: {maxDelay: 5000}},
  });
  const connection = await amqplib.connect(url, {ca: [fs.readFileSync(ca_file)]});
  connection.on("error", fail);
  connection.on("close", () => fail(new Error("the broker closed the connection")));
  const channel = await connection.createChannel();
  channel.on("error", fail);
  await channel.prefetch(prefetch);
  await channel.consume(queue, async (message) => {
    const record = JSON.parse(message.content.toString());
    try {
      await client.emit(record, record.timestamp * 1000);
      channel.ack(message);
    } catch (error) {
      channel.nack(message);
    }
  });
}

function fail(error) {
  console.error(error);
  process.exit(1);
}

process.on("SIGTERM", () => process.exit(0));
main(JSON.parse(process.argv[2])).catch(fail);
