// Analyses queries with Microsoft's own Kusto language service: grammar, functions, columns and their types.
// Input, on stdin: {"tables": {name: {column: type}}, "queries": {name: text}}. Output: a line per fault.
// Argument: the folder of the package @kusto/language-service-next.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import vm from 'node:vm';

const folder = process.argv[2];
for (const file of ['bridge.min.js', 'Kusto.Language.Bridge.min.js']) {
    // The package is made for browsers: it puts its names into the global scope.
    vm.runInThisContext(readFileSync(join(folder, file), 'utf8'), { filename: file });
}
const { GlobalState, KustoCode, Symbols } = globalThis.Kusto.Language;

const { tables, queries } = JSON.parse(readFileSync(0, 'utf8'));
const symbols = Object.entries(tables).map(([name, columns]) => {
    const schema = Object.entries(columns).map(([column, type]) => `${column}:${type}`).join(',');
    return Symbols.TableSymbol.From(`(${schema})`).WithName(name);
});
const globals = GlobalState.Default.WithDatabase(new Symbols.DatabaseSymbol.$ctor3('workspace', null, symbols, false));

let faults = 0;
for (const [name, text] of Object.entries(queries)) {
    const diagnostics = KustoCode.ParseAndAnalyze(text, globals).GetDiagnostics();
    for (let index = 0; index < diagnostics.Count; index += 1) {
        const one = diagnostics.getItem(index);
        if (one.Severity === 'Suggestion') continue;
        const line = text.slice(0, one.Start).split('\n').length;
        console.log(`${name}:${line}: ${one.Severity}: ${one.Message}`);
        faults += 1;
    }
}
process.exitCode = faults ? 1 : 0;
