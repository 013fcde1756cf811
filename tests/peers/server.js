// An independent Forward server: FluentServer of @fluent-org/logger.
//
//   node server.js '{"security": …, "tls": {"cert": FILE, "key": FILE, "ca": FILE}, "listen": {"path": …}}'
//
// Prints {"listening": PORT} and then one line of JSON for each event.  It ends with its standard input.  64-bit
// integers become doubles here: this peer checks the protocol, not the numbers.
"use strict";

const fs = require("fs");
const {FluentServer} = require("@fluent-org/logger");

const options = JSON.parse(process.argv[2]);
const print = (value) => process.stdout.write(JSON.stringify(value) + "\n");

class Server extends FluentServer {
  onEntry(tag, time, record) {
    const [seconds, nanoseconds] = typeof time === "number" ? [time, 0] : [time.epoch, time.nano];
    print({tag, seconds, nanoseconds, record});
  }
}

const server = new Server({
  security: options.security,
  tlsOptions: options.tls && {
    cert: fs.readFileSync(options.tls.cert),
    key: fs.readFileSync(options.tls.key),
    ...(options.tls.ca && {ca: fs.readFileSync(options.tls.ca), requestCert: true, rejectUnauthorized: true}),
  },
  listenOptions: options.listen || {host: "127.0.0.1", port: 0},
});
server.on("error", () => {});
server.listen().then(() => print({listening: server.port ?? null}));
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
