// SPDX-License-Identifier: MIT
// An OTLP/gRPC server on @grpc/grpc-js, for tests. Reads one JSON object from stdin:
//   {modules: folder with node_modules, out: file, steps: [{code, message, retry_ms, rejected, times}]}
// Each request takes the next step; after the last everything is OK. Requests that are answered with OK are appended to
// the file first, as otlp_server.py does. Says "listening PORT".
import { appendFileSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const input = JSON.parse(readFileSync(0, 'utf8'));
const grpc = createRequire(join(input.modules, 'package.json'))('@grpc/grpc-js');

function varint(value) {
  const bytes = [];
  for (; value > 127; value = Math.floor(value / 128)) bytes.push((value % 128) | 128);
  return Buffer.from([...bytes, value]);
}
const field = (number, bytes) => Buffer.concat([Buffer.from([(number << 3) | 2]), varint(bytes.length), bytes]);
const number = (tag, value) => Buffer.concat([Buffer.from([tag << 3]), varint(value)]);

// google.rpc.Status{code, details: [Any{RetryInfo{retry_delay}}]}
function details(code, retryMs) {
  const delay = Buffer.concat([number(1, Math.floor(retryMs / 1000)), number(2, (retryMs % 1000) * 1e6)]);
  const any = [field(1, Buffer.from('type.googleapis.com/google.rpc.RetryInfo')), field(2, field(1, delay))];
  return Buffer.concat([number(1, code), field(3, Buffer.concat(any))]);
}

function nextStep() {
  const step = input.steps[0];
  if (step && (step.times = (step.times ?? 1) - 1) <= 0) input.steps.shift();
  return step ?? { code: grpc.status.OK };
}

function append(request) {
  const head = Buffer.alloc(12);
  head.writeUInt32LE(request.length, 0);
  head.writeBigUInt64LE(BigInt(Date.now()) * 1000000n, 4);
  appendFileSync(input.out, Buffer.concat([head, request]));
}

function handle(call, callback) {
  const step = nextStep();
  if (step.code) {
    const metadata = new grpc.Metadata();
    if (step.retry_ms !== undefined) metadata.set('grpc-status-details-bin', details(step.code, step.retry_ms));
    callback({ code: step.code, details: step.message ?? '', metadata });
    return;
  }
  append(call.request);
  callback(null, step.rejected ? field(1, number(1, step.rejected)) : Buffer.alloc(0));
}

const asIs = (bytes) => bytes;
const server = new grpc.Server();
server.addService({
  Export: {
    path: '/opentelemetry.proto.collector.trace.v1.TraceService/Export', requestStream: false, responseStream: false,
    requestSerialize: asIs, requestDeserialize: asIs, responseSerialize: asIs, responseDeserialize: asIs,
  },
}, { Export: handle });
server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  process.stdout.write(`listening ${port}\n`);
});
