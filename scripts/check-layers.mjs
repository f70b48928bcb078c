// Checks the layers of src (DESIGN §3): a layer imports only from those below it, the pure ones import no Node module and
// no package and use no clock, randomness, timer or promise, and generated code is imported by adapters/rpc alone.
//   check-layers.mjs [FOLDER]     FOLDER: what to check in place of src (tests feed it violations)
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

/** What each layer may import besides itself. */
const below = {
  base: [],
  oplog: ['base'],
  fs: ['base', 'oplog'],
  raft: ['base', 'oplog'],
  channel: ['base', 'oplog', 'fs', 'raft'],
  adapters: ['base', 'oplog', 'fs', 'raft', 'channel'],
  daemon: ['base', 'oplog', 'fs', 'raft', 'channel', 'adapters'],
  cli: ['base', 'adapters', 'daemon'],
  gen: [],
}
const pure = new Set(['base', 'oplog', 'fs', 'raft', 'channel'])
const impure = new Set(
  (
    'Date Promise setTimeout setInterval setImmediate queueMicrotask performance process Buffer crypto console fetch ' +
    'globalThis require WebSocket Worker'
  ).split(' '),
)

const root = resolve(process.argv[2] ?? fileURLToPath(new URL('../src', import.meta.url)))
const problems = new Set()

for (const entry of readdirSync(root, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile() || !/\.[cm]?[jt]s$/.test(entry.name)) continue
  checkFile(join(entry.parentPath, entry.name))
}
for (const problem of [...problems].sort()) console.error(problem)
if (problems.size > 0) {
  console.error(`check-layers: ${problems.size} violations of the layers (DESIGN §3)`)
  process.exit(1)
}

function checkFile(path) {
  const parts = relative(root, path).split(sep)
  const layer = parts[0]
  const text = readFileSync(path, 'utf8')
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true)
  const report = (node, what) => {
    const { line } = source.getLineAndCharacterOfPosition(node.getStart(source))
    problems.add(`${relative(process.cwd(), path)}:${line + 1}: ${what}`)
  }
  if (below[layer] === undefined || parts.length < 2) return report(source, `${layer} is no layer`)
  if (layer === 'gen') return

  visit(source)

  function visit(node) {
    const specifier = importOf(node)
    if (specifier !== undefined) checkImport(node, specifier)
    if (pure.has(layer)) {
      // Types may speak of what only the layers above make (ports that answer promises).
      if (ts.isTypeNode(node) || ts.isInterfaceDeclaration(node) || ts.isTypeAliasDeclaration(node)) {
        return ts.forEachChild(node, visitType)
      }
      checkPure(node)
    }
    ts.forEachChild(node, visit)
  }

  function visitType(node) {
    const specifier = importOf(node)
    if (specifier !== undefined) checkImport(node, specifier)
    ts.forEachChild(node, visitType)
  }

  function checkImport(node, specifier) {
    if (!specifier.startsWith('.')) {
      if (pure.has(layer)) report(node, `${layer} is pure and may not import ${specifier}`)
      return
    }
    const target = relative(root, resolve(dirname(path), specifier)).split(sep)
    const other = target[0]
    if (other === 'gen') {
      if (layer === 'adapters' && parts[1] === 'rpc') return
      return report(node, `generated code is for adapters/rpc alone (${specifier})`)
    }
    // Outside of src: package.json and the like.
    if (other === '..') return report(node, `imports from outside of src (${specifier})`)
    if (other !== layer && !below[layer].includes(other))
      report(node, `${layer} may not import ${other} (${specifier})`)
  }

  function checkPure(node) {
    if (ts.isAwaitExpression(node) || node.modifiers?.some(m => m.kind === ts.SyntaxKind.AsyncKeyword)) {
      report(node, `${layer} is pure: no async functions`)
    }
    if (ts.isPropertyAccessExpression(node) && node.getText(source) === 'Math.random') {
      report(node, `${layer} is pure: Math.random`)
    }
    if (ts.isIdentifier(node) && impure.has(node.text) && isReference(node)) {
      report(node, `${layer} is pure: ${node.text}`)
    }
  }
}

function importOf(node) {
  if ((ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) && node.moduleSpecifier) {
    return node.moduleSpecifier.text
  }
  if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
    const [argument] = node.arguments
    return argument !== undefined && ts.isStringLiteralLike(argument) ? argument.text : 'a computed module'
  }
  if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) return node.argument.literal.text
  return undefined
}

/** Whether an identifier stands for a value of that name, not for a member or a declaration. */
function isReference(node) {
  const { parent } = node
  if (ts.isPropertyAccessExpression(parent)) return parent.expression === node
  if (ts.isShorthandPropertyAssignment(parent)) return true
  return !('name' in parent && parent.name === node) && !('propertyName' in parent && parent.propertyName === node)
}
