// Runs axe-core on pages: node axe.mjs FILE…; prints every violation and ends with 1 if there is any.
// Contrasts need a browser that draws; a test computes them from the style sheet.
import { readFileSync } from 'node:fs';
import { JSDOM, VirtualConsole } from 'jsdom';

const axe = readFileSync(new URL('node_modules/axe-core/axe.min.js', import.meta.url), 'utf8');
let violations = 0;
for (const file of process.argv.slice(2)) {
  const { window } = new JSDOM(readFileSync(file, 'utf8'), {
    runScripts: 'outside-only',
    virtualConsole: new VirtualConsole(),
  });
  window.eval(axe);
  const result = await window.axe.run(window.document, { rules: { 'color-contrast': { enabled: false } } });
  if (result.passes.length < 10) throw new Error(`${file}: only ${result.passes.length} rules found something to look at`);
  for (const { id, help, nodes } of result.violations) {
    violations += 1;
    console.log(`${file}: ${id}: ${help}\n  ${nodes.slice(0, 3).map((node) => node.html.slice(0, 200)).join('\n  ')}`);
  }
  window.close();
}
process.exit(violations ? 1 : 0);
