/** The gateway that most would write: express, http-proxy-middleware, and jose for ES256. */
import { readFileSync } from 'node:fs'
import { Agent } from 'node:http'
import { createRequire } from 'node:module'

const [folder, port, upstream, keyFile, issuer, audience] = process.argv.slice(2)
const require = createRequire(`${folder}/`)
const express = require('express')
const { createProxyMiddleware } = require('http-proxy-middleware')
const { importSPKI, jwtVerify } = require('jose')

const key = await importSPKI(readFileSync(keyFile, 'utf8'), 'ES256')
const app = express()
app.disable('x-powered-by')
app.use(async (request, response, next) => {
  const { headers } = request
  let claims
  try {
    const { payload } = await jwtVerify((headers.authorization ?? '').slice(7), key, {
      algorithms: ['ES256'],
      issuer,
      audience,
    })
    claims = payload
  } catch {
    response.status(401).end()
    return
  }
  if (!claims.roles.includes('reader')) {
    response.status(403).end()
    return
  }
  for (const name of Object.keys(headers)) if (name.startsWith('x-user-')) delete headers[name]
  delete headers.authorization
  delete headers.cookie
  headers['x-user-id'] = claims.sub
  headers['x-user-email'] = claims.email
  headers['x-user-roles'] = claims.roles.join(',')
  headers['x-user-org'] = claims.org
  next()
})
app.use(
  createProxyMiddleware({
    target: `http://127.0.0.1:${upstream}`,
    xfwd: true,
    changeOrigin: false,
    agent: new Agent({ keepAlive: true, maxSockets: 256 }),
  }),
)
app.listen(Number(port), '127.0.0.1').keepAliveTimeout = 600_000
