// Takes pictures of the pages that the tests leave in target/tmp, to be looked at:
//
//   cargo test --test it status_page::states && node tests/axe/pictures.mjs
//
// They come to lie in target/pictures, light and dark, wide and narrow. With --publish the few that the documents show
// are copied to docs/pictures. Needs Chromium's headless shell (or what $CHROMIUM names).
import { spawn } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { crc32, deflateSync, inflateSync } from 'node:zlib';

const root = fileURLToPath(new URL('../..', import.meta.url));
const pages = `${root}target/tmp`;
const pictures = `${root}target/pictures`;
const WIDTHS = [1280, 400];
// What the documents show: the picture, and how much of it from the top.
const PUBLISHED = {
  status: ['healthy-light-1280', 1632],
  stalled: ['stalled-by-source-light-1280', 640],
  narrow: ['mass-retraction-dark-400', 1150],
};

const browser = spawn(process.env.CHROMIUM ?? 'chromium-headless-shell', [
  '--no-sandbox', '--disable-gpu', '--disable-lcd-text', '--hide-scrollbars', '--remote-debugging-pipe', 'about:blank',
], { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] });
browser.on('error', (error) => { console.error(`no browser: ${error.message}`); process.exit(1); });

// The DevTools protocol over two pipes: messages end with a zero byte.
const waiting = new Map();
const heard = new Map();
let [last, buffer] = [0, ''];
browser.stdio[4].on('data', (data) => {
  buffer += data;
  for (let end; (end = buffer.indexOf('\0')) >= 0; buffer = buffer.slice(end + 1)) {
    const message = JSON.parse(buffer.slice(0, end));
    if (message.id) {
      const { resolve, reject } = waiting.get(message.id);
      waiting.delete(message.id);
      message.error ? reject(new Error(message.error.message)) : resolve(message.result);
    } else {
      heard.get(message.method)?.();
    }
  }
});
let session;
const send = (method, params = {}) => new Promise((resolve, reject) => {
  waiting.set(++last, { resolve, reject });
  browser.stdio[3].write(`${JSON.stringify({ id: last, method, params, sessionId: session })}\0`);
});
const event = (method) => new Promise((resolve) => heard.set(method, resolve));

const { targetId } = await send('Target.createTarget', { url: 'about:blank' });
session = (await send('Target.attachToTarget', { targetId, flatten: true })).sessionId;
await send('Page.enable');
mkdirSync(pictures, { recursive: true });
const axe = readFileSync(`${root}tests/axe/node_modules/axe-core/axe.min.js`, 'utf8');
let violations = 0;
for (const file of readdirSync(pages).filter((name) => /^state-.*\.html$/.test(name)).sort()) {
  for (const scheme of ['light', 'dark']) {
    for (const width of WIDTHS) {
      const name = `${file.slice('state-'.length, -'.html'.length)}-${scheme}-${width}`;
      await send('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value: scheme }] });
      await send('Emulation.setDeviceMetricsOverride', { width, height: 800, deviceScaleFactor: 1, mobile: false });
      const loaded = event('Page.loadEventFired');
      await send('Page.navigate', { url: pathToFileURL(`${pages}/${file}`).href });
      await loaded;
      const { cssContentSize: size } = await send('Page.getLayoutMetrics');
      if (size.width > width) throw new Error(`${name} is ${size.width} wide: it scrolls sideways`);
      const clip = { x: 0, y: 0, width, height: Math.ceil(size.height), scale: 1 };
      const { data } = await send('Page.captureScreenshot', { format: 'png', clip, captureBeyondViewport: true });
      writeFileSync(`${pictures}/${name}.png`, Buffer.from(data, 'base64'));
      // Here the contrasts can be seen as well.
      await send('Runtime.evaluate', { expression: axe });
      const { result } = await send('Runtime.evaluate', {
        expression: 'axe.run().then(({ violations }) => JSON.stringify(violations.map(({ id, nodes }) => [id, nodes[0].html])))',
        awaitPromise: true,
      });
      for (const [id, html] of JSON.parse(result.value)) {
        violations += 1;
        console.log(`${name}: ${id}: ${html.slice(0, 200)}`);
      }
    }
  }
}
if (process.argv.includes('--publish')) {
  for (const [to, [from, height]] of Object.entries(PUBLISHED)) {
    writeFileSync(`${root}docs/pictures/${to}.png`, smaller(readFileSync(`${pictures}/${from}.png`), height));
  }
}
browser.kill();
console.log(`${pictures}: looked at by axe-core, ${violations} violations`);
process.exit(violations ? 1 : 0);

// The upper part of a picture with at most 256 colours: a tenth of its size, and nobody sees the difference.
function smaller(png, most) {
  let [width, height, channels, data] = [0, 0, 4, []];
  for (let at = 8; at < png.length;) {
    const length = png.readUInt32BE(at);
    const kind = png.toString('latin1', at + 4, at + 8);
    const body = png.subarray(at + 8, at + 8 + length);
    if (kind === 'IHDR') {
      [width, height] = [body.readUInt32BE(0), Math.min(body.readUInt32BE(4), most)];
      channels = body[9] === 2 ? 3 : 4;
    }
    if (kind === 'IDAT') data.push(body);
    at += length + 12;
  }
  const raw = inflateSync(Buffer.concat(data));
  const line = width * channels;
  const pixels = Buffer.alloc(line * height);
  for (let y = 0; y < height; y += 1) {
    const filter = raw[y * (line + 1)];
    for (let x = 0; x < line; x += 1) {
      const left = x < channels ? 0 : pixels[y * line + x - channels];
      const up = y ? pixels[(y - 1) * line + x] : 0;
      const corner = y && x >= channels ? pixels[(y - 1) * line + x - channels] : 0;
      const guess = left + up - corner;
      const [a, b, c] = [Math.abs(guess - left), Math.abs(guess - up), Math.abs(guess - corner)];
      const paeth = a <= b && a <= c ? left : b <= c ? up : corner;
      const predicted = [0, left, up, (left + up) >> 1, paeth][filter];
      pixels[y * line + x] = raw[y * (line + 1) + 1 + x] + predicted;
    }
  }
  // The most frequent colours, and for every other the nearest of them.
  const counts = new Map();
  const colour = (i) => (pixels[i] << 16) | (pixels[i + 1] << 8) | pixels[i + 2];
  for (let i = 0; i < pixels.length; i += channels) counts.set(colour(i), (counts.get(colour(i)) ?? 0) + 1);
  const palette = [...counts].sort((a, b) => b[1] - a[1]).slice(0, 256).map(([rgb]) => rgb);
  const nearest = new Map();
  const difference = (a, b) => [16, 8, 0].reduce((sum, shift) => sum + (((a >> shift) & 255) - ((b >> shift) & 255)) ** 2, 0);
  for (const rgb of counts.keys()) {
    nearest.set(rgb, palette.reduce((best, _, i) => (difference(rgb, palette[i]) < difference(rgb, palette[best]) ? i : best), 0));
  }
  const indices = Buffer.alloc((width + 1) * height);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) indices[y * (width + 1) + 1 + x] = nearest.get(colour(y * line + x * channels));
  }
  const chunk = (kind, body) => {
    const named = Buffer.concat([Buffer.from(kind, 'latin1'), body]);
    const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(body.length);
    sum.writeUInt32BE(crc32(named));
    return Buffer.concat([length, named, sum]);
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 3, 0, 0, 0], 8);
  const colours = Buffer.from(palette.flatMap((rgb) => [rgb >> 16, (rgb >> 8) & 255, rgb & 255]));
  const chunks = [chunk('IHDR', header), chunk('PLTE', colours), chunk('IDAT', deflateSync(indices, { level: 9 })), chunk('IEND', Buffer.alloc(0))];
  return Buffer.concat([png.subarray(0, 8), ...chunks]);
}
