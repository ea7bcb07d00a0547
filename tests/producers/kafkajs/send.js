// Sends the lines of stdin as one batch: node send.js BOOTSTRAP TOPIC CODEC [KEY]
"use strict";

const { CompressionCodecs, CompressionTypes, Kafka, logLevel } = require("kafkajs");
const LZ4Codec = require("@2l/kafkajs-lz4");
const SnappyCodec = require("kafkajs-snappy");
const zstd = require("@bokuweb/zstd-wasm");

const [bootstrap, topic, codec, key] = process.argv.slice(2);

CompressionCodecs[CompressionTypes.Snappy] = SnappyCodec;
CompressionCodecs[CompressionTypes.LZ4] = new (LZ4Codec.default || LZ4Codec)().codec;
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: async (encoder) => Buffer.from(zstd.compress(encoder.buffer, 3)),
  decompress: async (buffer) => Buffer.from(zstd.decompress(buffer)),
});

const CODECS = { none: "None", gzip: "GZIP", snappy: "Snappy", lz4: "LZ4", zstd: "ZSTD" };

async function main() {
  await zstd.init();
  const lines = require("fs").readFileSync(0, "utf8").split("\n").filter(Boolean);
  const kafka = new Kafka({ brokers: [bootstrap], logLevel: logLevel.ERROR });
  const producer = kafka.producer();
  await producer.connect();
  const messages = lines.map((value) => ({ value, key }));
  await producer.send({ topic, messages, compression: CompressionTypes[CODECS[codec]] });
  await producer.disconnect();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
