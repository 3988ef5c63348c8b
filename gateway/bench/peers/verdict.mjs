/** What stands behind auth_request: a server of node:http that verifies ES256 once and then remembers. */
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { importSPKI, jwtVerify } from 'jose'

const [port, keyFile, issuer, audience] = process.argv.slice(2)
const key = await importSPKI(readFileSync(keyFile, 'utf8'), 'ES256')
const known = new Map()

const server = createServer(async (request, response) => {
  const { authorization = '' } = request.headers
  let verdict = known.get(authorization)
  if (verdict === undefined) {
    verdict = await verdictOf(authorization)
    known.set(authorization, verdict)
  }
  if (verdict.endsAt * 1000 < Date.now()) response.writeHead(401, ['Content-Length', '0']).end()
  else response.writeHead(200, verdict.lines).end()
})
server.keepAliveTimeout = 600_000
server.listen(Number(port), '127.0.0.1')

async function verdictOf(authorization) {
  try {
    const { payload } = await jwtVerify(authorization.slice(7), key, { algorithms: ['ES256'], issuer, audience })
    const { sub, email, roles, org, exp } = payload
    const lines = ['X-User-Id', sub, 'X-User-Email', email, 'X-User-Roles', roles.join(','), 'X-User-Org', org]
    return { endsAt: exp, lines: [...lines, 'Content-Length', '0'] }
  } catch {
    return { endsAt: 0, lines: [] }
  }
}
