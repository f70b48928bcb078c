// Finds floating promises in src and test: a statement whose value is a promise that nobody awaits, returns or handles.
// `void promise` says that it is meant; tap's own `t.test(…)` may float. (oxlint's rule needs oxlint-tsgolint.)
//   check-promises.mjs [TSCONFIG]
import { dirname, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

const root = fileURLToPath(new URL('..', import.meta.url))
const configPath = resolve(process.argv[2] ?? `${root}/tsconfig.json`)
const config = ts.parseJsonConfigFileContent(
  ts.readConfigFile(configPath, ts.sys.readFile).config,
  ts.sys,
  dirname(configPath),
)
const program = ts.createProgram(config.fileNames, config.options)
const checker = program.getTypeChecker()
const problems = []

for (const source of program.getSourceFiles()) {
  if (source.isDeclarationFile || source.fileName.includes('/node_modules/')) continue
  visit(source, source)
}
for (const problem of problems) console.error(problem)
if (problems.length > 0) {
  console.error(`check-promises: ${problems.length} promises that nobody awaits`)
  process.exit(1)
}

function visit(node, source) {
  if (ts.isExpressionStatement(node) && floats(node.expression)) {
    const { line } = source.getLineAndCharacterOfPosition(node.getStart(source))
    const text = node.expression.getText(source).split('\n')[0].slice(0, 80)
    problems.push(`${relative(process.cwd(), source.fileName)}:${line + 1}: a floating promise: ${text}`)
  }
  ts.forEachChild(node, child => visit(child, source))
}

function floats(expression) {
  if (ts.isVoidExpression(expression) || ts.isAwaitExpression(expression)) return false
  if (ts.isBinaryExpression(expression)) {
    const { kind } = expression.operatorToken
    if (kind >= ts.SyntaxKind.FirstAssignment && kind <= ts.SyntaxKind.LastAssignment) return false
  }
  if (!isPromise(checker.getTypeAtLocation(expression))) return false
  return !(ts.isCallExpression(expression) && (isHandled(expression) || isTapTest(expression)))
}

/** `.catch(f)` and `.then(f, g)` take care of the failure. */
function isHandled({ expression, arguments: list }) {
  if (!ts.isPropertyAccessExpression(expression)) return false
  const { text } = expression.name
  return (text === 'catch' && list.length === 1) || (text === 'then' && list.length === 2)
}

/** The type that tap's test() answers (a promise and the Test itself): its runner awaits it. */
function isTapTest({ expression }) {
  return (
    ts.isPropertyAccessExpression(expression) &&
    /^(test|todo|skip|only)$/.test(expression.name.text) &&
    /\bt\b|tap/i.test(expression.expression.getText())
  )
}

function isPromise(type) {
  if (type.isUnion()) return type.types.some(isPromise)
  if (type.flags & (ts.TypeFlags.Any | ts.TypeFlags.Unknown)) return false
  const then = type.getProperty('then')
  return (
    then !== undefined &&
    then.valueDeclaration !== undefined &&
    checker.getTypeOfSymbol(then).getCallSignatures().length > 0
  )
}
