/** fastify with its own proxy and JWT plug-ins, for ES256; with `cache` it remembers the tokens it has verified. */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

const [folder, port, upstream, keyFile, issuer, audience, cache] = process.argv.slice(2)
const require = createRequire(`${folder}/`)
const app = require('fastify')({ logger: false, keepAliveTimeout: 600_000 })

await app.register(require('@fastify/jwt'), {
  secret: { public: readFileSync(keyFile, 'utf8') },
  sign: { algorithm: 'ES256' },
  verify: {
    algorithms: ['ES256'],
    cache: cache === 'cache' ? 10_000 : false,
    allowedIss: issuer,
    allowedAud: audience,
  },
})
await app.register(require('@fastify/http-proxy'), {
  upstream: `http://127.0.0.1:${upstream}`,
  undici: { connections: 128, pipelining: 1 },
  async preHandler(request, reply) {
    await request.jwtVerify()
    if (!request.user.roles.includes('reader')) return reply.code(403).send()
  },
  replyOptions: {
    rewriteRequestHeaders({ user }, headers) {
      const kept = { ...headers }
      for (const name of Object.keys(kept)) if (name.startsWith('x-user-')) delete kept[name]
      delete kept.authorization
      delete kept.cookie
      kept['x-user-id'] = user.sub
      kept['x-user-email'] = user.email
      kept['x-user-roles'] = user.roles.join(',')
      kept['x-user-org'] = user.org
      return kept
    },
  },
})
await app.listen({ port: Number(port), host: '127.0.0.1' })
