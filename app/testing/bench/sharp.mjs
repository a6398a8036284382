// Filters the photos that the benchmark sends it, with sharp. The protocol is that of package frame: a line of JSON,
// then bytes, one request at a time. Arguments: number of threads of libvips, and the matrix as JSON.
import sharp from 'sharp';

const matrix = JSON.parse(process.argv[3]);
sharp.cache(false);
sharp.concurrency(Number(process.argv[2]));

const upright = (raw) => sharp(raw).rotate();
// The fastest compression level with a filter chosen for each row, as in the PNG encoder of the service.
const encode = (s, format) => format === 'png' ? s.png({compressionLevel: 1, adaptiveFiltering: true}) : s.jpeg({quality: 90});

const operations = {
  matrix: (raw, format) => encode(upright(raw).recomb(matrix), format),
  // The complete filter: contrast and brightness as one linear function, and saturation.
  full: (raw, format) => encode(upright(raw).recomb(matrix).linear(1.69, -45.725).modulate({saturation: 0.7}), format),
  // These encode the photos of the benchmark.
  'make-jpeg': (raw) => sharp(raw).jpeg({quality: 90}),
  'make-progressive': (raw) => sharp(raw).jpeg({quality: 90, progressive: true}),
  'make-webp': (raw) => sharp(raw).webp({quality: 80}),
  'make-png': (raw) => sharp(raw).png(),
};

function send(head, body = Buffer.alloc(0)) {
  process.stdout.write(JSON.stringify(head) + '\n');
  process.stdout.write(body);
}

async function answer(ask, raw) {
  const began = process.hrtime.bigint();
  try {
    const body = await operations[ask.operation](raw, ask.format).toBuffer();
    const nanos = Number(process.hrtime.bigint() - began);
    const cpu = process.cpuUsage();
    send({nanos, cpuMicros: cpu.user + cpu.system, size: body.length}, body);
  } catch (err) {
    send({size: 0, error: String(err)});
  }
}

send({versions: `sharp ${sharp.versions.sharp}, libvips ${sharp.versions.vips}, Node ${process.version}`});

// The request that is being read: first its line, then its bytes.
let parts = [], have = 0, ask = null;
for await (const chunk of process.stdin) {
  let rest = chunk;
  while (rest.length > 0) {
    let take = rest.length;
    if (ask === null) {
      const end = rest.indexOf(10);
      take = end < 0 ? rest.length : end + 1;
    } else {
      take = Math.min(take, ask.size - have);
    }
    parts.push(rest.subarray(0, take));
    have += take;
    const ended = ask === null && rest[take - 1] === 10;
    rest = rest.subarray(take);
    if (ended) {
      ask = JSON.parse(Buffer.concat(parts).toString());
    } else if (ask === null || have < ask.size) {
      continue;
    } else {
      await answer(ask, Buffer.concat(parts));
      ask = null;
    }
    parts = [];
    have = 0;
  }
}
