import { test } from 'vitest'
import { createAdminStage } from '/work/main/gateway/test/support/admin.ts'
test('x', async () => {
  const stage = await createAdminStage('sqlite')
  try { console.log(await stage.call('GET','/v1/status')) } catch (e) { console.log(String(e)); }
  console.log(stage.node.output().slice(-3000))
  await stage.close()
})
