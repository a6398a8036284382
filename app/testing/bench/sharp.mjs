// Filters the photos that the benchmark sends it, with sharp. The protocol is that of package protocol: a line of JSON
// for each request and each reply. Arguments: number of threads of libvips, and the matrix as JSON.
import {readFile, writeFile} from 'node:fs/promises';
import {createInterface} from 'node:readline';
import sharp from 'sharp';

const matrix = JSON.parse(process.argv[3]);
sharp.cache(false);
sharp.concurrency(Number(process.argv[2]));

const upright = (raw) => sharp(raw).rotate();
// The fastest compression level with a filter chosen for each row, as in the PNG encoder of the service. The result of a
// palette is in true colour, which is sharp's default.
const encode = (s, format) => format === 'png' ? s.png({compressionLevel: 1, adaptiveFiltering: true}) : s.jpeg({quality: 90});

const operations = {
  matrix: (raw, format) => encode(upright(raw).recomb(matrix), format),
  // The four steps in one chain: brightness and contrast are one linear function, since sharp keeps only the last one;
  // sharp applies the matrix first, in whatever order the chain names the steps.
  worker: (raw, format) => encode(upright(raw).linear(1.69, -45.725).recomb(matrix).modulate({saturation: 0.7}), format),
  encode: (raw, format) => encode(sharp(raw), format),
  // These encode the photos of the benchmark.
  'make-jpeg': (raw) => sharp(raw).jpeg({quality: 90}),
  'make-progressive': (raw) => sharp(raw).jpeg({quality: 90, progressive: true}),
  'make-webp': (raw) => sharp(raw).webp({quality: 80}),
  'make-png': (raw) => sharp(raw).png(),
  'make-deep': (raw) => sharp(raw).toColourspace('rgb16').png(),
  'make-palette': (raw) => sharp(raw).png({palette: true, effort: 1}),
};

async function answer(ask) {
  const raw = await readFile(ask.in);
  const began = process.hrtime.bigint();
  const body = await operations[ask.operation](raw, ask.format).toBuffer();
  const nanos = Number(process.hrtime.bigint() - began);
  await writeFile(ask.out, body);
  const cpu = process.cpuUsage();
  return {nanos, cpuMicros: cpu.user + cpu.system};
}

const send = (message) => process.stdout.write(JSON.stringify(message) + '\n');

send({versions: `sharp ${sharp.versions.sharp}, libvips ${sharp.versions.vips}, Node ${process.version}`});
for await (const line of createInterface({input: process.stdin})) {
  send(await answer(JSON.parse(line)).catch((err) => ({error: String(err)})));
}
