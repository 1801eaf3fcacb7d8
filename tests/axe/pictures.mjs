// Takes pictures of the pages that the tests leave in target/tmp, to be looked at:
//
//   cargo test --test it status_page::states && node tests/axe/pictures.mjs
//
// They come to lie in target/pictures, light and dark, wide and narrow. With --publish the few that the documents show
// are copied to docs/pictures. Needs Chromium's headless shell (or what $CHROMIUM names).
import { spawn } from 'node:child_process';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const pages = `${root}target/tmp`;
const pictures = `${root}target/pictures`;
const WIDTHS = [1280, 400];
const PUBLISHED = {
  'healthy-light-1280': 'status',
  'stalled-by-source-light-1280': 'stalled',
  'mass-retraction-dark-400': 'narrow',
};

const browser = spawn(process.env.CHROMIUM ?? 'chromium-headless-shell', [
  '--no-sandbox', '--disable-gpu', '--hide-scrollbars', '--remote-debugging-pipe', 'about:blank',
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
  for (const [from, to] of Object.entries(PUBLISHED)) {
    copyFileSync(`${pictures}/${from}.png`, `${root}docs/pictures/${to}.png`);
  }
}
browser.kill();
console.log(`${pictures}: looked at by axe-core, ${violations} violations`);
process.exit(violations ? 1 : 0);
