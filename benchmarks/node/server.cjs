// Puts @supabase/stripe-sync-engine behind HTTP: node server.cjs PORT DATABASE_URL POOL SECRET.
// CommonJS, because the package's ES modules find no migrations and go on without.
const http = require('node:http')
const { StripeSync, runMigrations } = require('@supabase/stripe-sync-engine')

const [port, databaseUrl, pool, secret] = process.argv.slice(2)

async function main() {
  // What fails is only logged, and the rest left out.
  const failed = []
  await runMigrations({
    databaseUrl,
    schema: 'stripe',
    logger: { info() {}, error: (error) => failed.push(error) },
  })
  if (failed.length > 0) throw failed[0]
  const sync = new StripeSync({
    poolConfig: { connectionString: databaseUrl, max: Number(pool), keepAlive: true },
    stripeSecretKey: 'sk_test_benchmark',
    stripeWebhookSecret: secret,
    backfillRelatedEntities: false,
    autoExpandLists: false,
  })
  const server = http.createServer((request, response) => {
    const parts = []
    request.on('data', (part) => parts.push(part))
    request.on('end', async () => {
      let status = 200
      try {
        if (request.method === 'POST') {
          await sync.processWebhook(Buffer.concat(parts), request.headers['stripe-signature'])
        }
      } catch (error) {
        console.error(error)
        status = 500
      }
      response.writeHead(status, { 'Content-Length': 2 })
      response.end('ok')
    })
  })
  server.keepAliveTimeout = 600000
  server.listen(Number(port), '127.0.0.1')
}

main().catch((error) => {
  console.error(error)
  process.exit(1)
})
